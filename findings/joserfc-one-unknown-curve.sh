#!/bin/sh
# joserfc 1.8.0: a key set of which one key is on a curve that it does not know is no key set at all.
#
# The good guess: KeySet.import_key_set leaves out the keys that it cannot read and has the others. RFC 7517, section 5:
# keys of a set "SHOULD" be ignored whose "kty" is not understood, that lack required members, or "for which values are
# out of the supported ranges". Its own comment says so of "kty", and a key of an unknown "kty" is left out.
# What is seen: an EC key on BP-256 (brainpool) or an OKP key on another curve is a KeyError, which is no JoseError; an
# RSA key without its members is a KeyParameterError. Either way the RS256 key beside it verifies nothing: an issuer that
# publishes one such key is one that nobody can sign in by. rerankd reads each key by itself.
#
# Makes a folder and an environment in it. Exit 0: as above.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install -q joserfc==1.8.0
cat > ask.py <<'PY'
import sys

from joserfc import jwt
from joserfc.jwk import JWKRegistry, KeySet, RSAKey

signer = RSAKey.generate_key(2048, {"kid": "good"})
good = signer.as_dict(private=False)
token = jwt.encode({"alg": "RS256", "kid": "good"}, {"sub": "anna"}, signer)
others = {
    "none beside it": None,
    "kty AKP": {"kty": "AKP", "kid": "other", "alg": "ML-DSA-44", "pub": "AA"},
    "EC on BP-256": {"kty": "EC", "kid": "other", "crv": "BP-256", "x": "AA", "y": "AA"},
    "OKP on Ed999": {"kty": "OKP", "kid": "other", "crv": "Ed999", "x": "AA"},
    "RSA without n": {"kty": "RSA", "kid": "other", "e": "AQAB"},
}
seen = {}
for name, other in others.items():
    try:
        keys = KeySet.import_key_set({"keys": [key for key in (other, good) if key]})
        seen[name] = jwt.decode(token, keys).claims["sub"]
    except Exception as error:
        seen[name] = type(error).__name__
    print(f"{name:16} {seen[name]}")
alone = jwt.decode(token, JWKRegistry.import_key(good)).claims["sub"]
print(f"{'the key alone':16} {alone}")
wanted = ["anna", "anna", "KeyError", "KeyError", "KeyParameterError"]
is_as_said = [*seen.values(), alone] == [*wanted, "anna"]
print("as described" if is_as_said else "NOT as described")
sys.exit(not is_as_said)
PY
env/bin/python ask.py
