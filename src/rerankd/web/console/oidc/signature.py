"""Whose signature a token has: joserfc, with what it may not decide for itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, cast

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey
from joserfc.jws import JWSRegistry, deserialize_compact, extract_compact

from rerankd.web.console.oidc.claims import BadToken

VerifyKey = RSAKey | ECKey | OKPKey

# By the issuer's own private key only: never "none", never a secret that this server has too.
_KINDS: Final[dict[str, type[VerifyKey]]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), RSAKey),
    **dict.fromkeys(("ES256", "ES384", "ES512"), ECKey),
    **dict.fromkeys(("EdDSA", "Ed25519"), OKPKey),
}
_KEYS: Final = 100  # of one set
_TYPES: Final = ("RSA", "EC", "OKP")


class UnknownSigner(BadToken):
    """No key of the set is the one that signed; a newer set may have it."""


class _Registry(JWSRegistry):
    """Its own bounds are for headers without certificates, and its warnings for developers."""

    max_header_length = 16_384
    max_payload_length = 262_144
    max_signature_length = 4_096

    def get_alg(self, name: str) -> Any:
        """Of those that are allowed."""
        return self.algorithms[name]


class KeySet(msgspec.Struct):
    """As an issuer publishes it."""

    keys: list[dict[str, Any]]


def keys_of(found: KeySet) -> list[VerifyKey]:
    """The keys that can have signed; one that cannot be read is none."""
    keys = list[VerifyKey]()
    for each in found.keys[:_KEYS]:
        if each.get("kty") not in _TYPES or each.get("use", "sig") != "sig":
            continue
        try:
            keys.append(cast("VerifyKey", JWKRegistry.import_key(cast("Any", each))))
        except (JoseError, ValueError, TypeError, KeyError):
            continue
    return keys


def verified(token: str, keys: Sequence[VerifyKey], published: Collection[str]) -> dict[str, Any]:
    """The claims of a signed token.

    Args:
        token: in its compact form.
        keys: of the issuer.
        published: algorithms that it says it signs with.

    Raises:
        UnknownSigner: none of the keys.
        BadToken: it is none, of an algorithm that is not allowed, or of another signature.
    """
    registry = _Registry(strict_check_header=False)
    raw = token.encode()
    try:
        key = _signer(extract_compact(raw, None, registry).headers(), keys, published)
        payload = deserialize_compact(raw, key, None, registry).payload
        return msgspec.json.decode(payload, type=dict[str, Any])
    except (JoseError, ValueError, TypeError, KeyError, RecursionError, msgspec.MsgspecError):
        raise BadToken("it is not signed by the issuer, or cannot be read") from None


def _signer(
    header: Mapping[str, Any], keys: Sequence[VerifyKey], published: Collection[str]
) -> VerifyKey:
    """The key that a header names, or the only one of its kind. Raises UnknownSigner, BadToken."""
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in _KINDS or algorithm not in published:
        raise BadToken("alg is not one of those that the issuer signs with")
    if "crit" in header or "b64" in header:
        raise BadToken("crit asks for what is not known here")
    fitting = [
        key
        for key in keys
        if isinstance(key, _KINDS[algorithm]) and key.get("alg", algorithm) == algorithm
    ]
    if kid is not None:
        fitting = [key for key in fitting if key.get("kid") == kid]
    if len(fitting) != 1:
        raise UnknownSigner("no key of the issuer's set is the one that it names")
    return fitting[0]
