"""Keys: who is let in, and that no key is kept."""

from __future__ import annotations

import pytest

from rerankd.access.keys import ANYONE, Key, digest, key_of
from rerankd.access.ring import KeyRing
from rerankd.core.errors import Forbidden, Unauthorized

RING = KeyRing([Key(name="a", digest=digest("sk-a")), Key(name="b", digest=digest("schlüssel"))])


def test_a_good_key_is_found() -> None:
    assert RING.authenticate(b"sk-a").name == "a"
    assert RING.authenticate("schlüssel".encode()).name == "b"


@pytest.mark.parametrize("presented", [None, b"", b"sk-", b"sk-a ", b"SK-A", b"\xff\xfe"])
def test_any_other_key_is_refused(presented: bytes | None) -> None:
    with pytest.raises(Unauthorized):
        RING.authenticate(presented)


def test_without_keys_anyone_is_let_in() -> None:
    assert KeyRing().authenticate(b"whatever") is ANYONE


class CountedDigest(bytes):
    """Counts how often it is compared."""

    __slots__ = ()
    compared = 0

    __hash__ = bytes.__hash__

    def __eq__(self, other: object) -> bool:
        CountedDigest.compared += 1
        return bytes(self) == other


def test_a_key_is_found_without_a_look_at_all_others() -> None:
    names = [f"sk-{i}" for i in range(1000)]
    ring = KeyRing([Key(name=name, digest=CountedDigest(digest(name))) for name in names])
    for name in (names[0], names[-1]):
        CountedDigest.compared = 0
        assert ring.authenticate(name.encode()).name == name
        assert CountedDigest.compared <= 2


def test_a_digest_is_no_key() -> None:
    with pytest.raises(Unauthorized):
        RING.authenticate(digest("sk-a"))


@pytest.mark.parametrize("sha256", [None, digest("sk-a").hex()])
def test_a_configured_key_is_let_in(sha256: str | None) -> None:
    key = None if sha256 else " sk-a\n"
    made = key_of(name="a", key=key, sha256=sha256, models=["m"], rpm=1, tpm=2)
    assert made == Key(name="a", digest=digest("sk-a"), models=frozenset({"m"}), rpm=1, tpm=2)
    assert KeyRing([made]).authenticate(b"sk-a") is made


def test_a_key_may_use_a_model_by_either_of_its_names() -> None:
    key = Key(name="a", digest=b"", models=frozenset({"served"}))
    key.check_model("answers", "served")
    with pytest.raises(Forbidden):
        key.check_model("answers", "other")
