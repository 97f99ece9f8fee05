"""Keys: who is let in, and that no key is kept."""

from __future__ import annotations

import hmac

import pytest

from rerankd.core.errors import Forbidden, Unauthorized
from rerankd.store.keys import ANYONE, Key, KeyRing, digest

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


def test_every_key_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append(b)
        return a == b

    monkeypatch.setattr(hmac, "compare_digest", compare)
    RING.authenticate(b"sk-a")  # the first one matches: the second is compared all the same
    assert compared == [digest("sk-a"), digest("schlüssel")]


def test_a_key_may_use_a_model_by_either_of_its_names() -> None:
    key = Key(name="a", digest=b"", models=frozenset({"served"}))
    key.check_model("answers", "served")
    with pytest.raises(Forbidden):
        key.check_model("answers", "other")
