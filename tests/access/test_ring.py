"""The ring of keys: those of the settings, those of the store, and why one is refused."""

from __future__ import annotations

import dataclasses
import ipaddress

import pytest

from rerankd.access.keys import ANYONE, Key, Role, Team, digest
from rerankd.access.ring import KeyRing, UnknownKey
from rerankd.access.token import make
from rerankd.core.errors import Forbidden, Unauthorized

NOW = 1_000.0


def ring(*keys: Key) -> KeyRing:
    return KeyRing(keys, clock=lambda: NOW)


def stored(number: int, secret: str, **values: object) -> Key:
    made = Key(name=f"k{number}", digest=digest(secret), id=number)
    return dataclasses.replace(made, **values)  # pyright: ignore[reportArgumentType] - any of its


def reason(keys: KeyRing, presented: str) -> str | None:
    with pytest.raises(Unauthorized) as refused:
        keys.authenticate(presented.encode())
    assert str(refused.value) == "Invalid token"
    return refused.value.reason


def test_keys_of_settings_and_store_are_good_side_by_side() -> None:
    keys = ring(Key(name="file", digest=digest("f")))
    keys.put([stored(1, "s")])
    assert keys.authenticate(b"f").name == "file"
    assert keys.authenticate(b"s").id == 1
    assert [key.name for key in keys] == ["file", "k1"]
    keys.use_file([Key(name="other", digest=digest("g"))])
    assert keys.authenticate(b"s").id == 1
    assert reason(keys, "f") is None


def test_a_change_of_one_key_leaves_the_others() -> None:
    keys = ring()
    for number in range(3):
        keys.put([stored(number, f"s{number}")])
    others = [keys.authenticate(b"s0"), keys.authenticate(b"s2")]
    keys.put([stored(1, "new")])
    assert reason(keys, "s1") is None
    assert keys.authenticate(b"new").id == 1
    assert [keys.authenticate(b"s0"), keys.authenticate(b"s2")] == others


@pytest.mark.parametrize(
    ("values", "said"),
    [({"revoked": True}, "revoked"), ({"expires": NOW}, "expired"), ({"expires": NOW + 1}, None)],
)
def test_what_is_good_no_more_is_refused_with_the_reason(
    values: dict[str, object], said: str | None
) -> None:
    keys = ring()
    keys.put([stored(1, "s", **values)])
    if said is None:
        assert keys.authenticate(b"s").id == 1
        assert len(keys) == 1
    else:
        assert reason(keys, "s") == said
        assert len(keys) == 0


def test_a_ring_whose_keys_are_all_revoked_is_not_open() -> None:
    keys = ring()
    assert keys.is_open
    assert keys.authenticate(b"x") is ANYONE
    assert keys.authenticate(None) is ANYONE
    keys.put([stored(1, "s", revoked=True)])
    assert not keys.is_open
    with pytest.raises(Unauthorized):
        keys.authenticate(None)


def test_a_rotated_key_is_good_by_both_until_the_old_one_ends() -> None:
    now = [NOW]
    keys = KeyRing(clock=lambda: now[0])
    new = stored(1, "new")
    keys.put([new, dataclasses.replace(new, digest=digest("old"), expires=NOW + 60)])
    assert keys.authenticate(b"old").holder == keys.authenticate(b"new").holder
    assert len(keys) == 1
    now[0] += 60
    assert keys.authenticate(b"new").id == 1
    assert reason(keys, "old") == "expired"


def test_a_mistyped_key_is_told_from_an_unknown_one() -> None:
    keys = ring(Key(name="file", digest=digest("f")))
    text = make().text
    wrong = text[:-1] + ("a" if text[-1] != "a" else "b")
    assert reason(keys, text) is None
    assert reason(keys, wrong) == "typo"
    with pytest.raises(UnknownKey):
        keys.authenticate(wrong.encode())


def test_a_key_comes_from_its_networks_only() -> None:
    keys = ring()
    networks = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("2001:db8::/32"))
    keys.put([stored(1, "s", networks=networks)])
    for good in ("10.1.2.3", "2001:db8::1"):
        assert keys.authenticate(b"s", ipaddress.ip_address(good)).id == 1
    for bad in (ipaddress.ip_address("11.0.0.1"), ipaddress.ip_address("::1"), None):
        with pytest.raises(Forbidden) as refused:
            keys.authenticate(b"s", bad)
        assert refused.value.reason == "network"


def test_an_edit_of_a_team_is_seen_by_its_keys_at_once() -> None:
    keys = ring()
    team = Team(id=7, name="web", models=frozenset({"a"}))
    keys.put([stored(1, "s", team=team)])
    assert not keys.authenticate(b"s").allows("b")
    team.become(Team(id=7, name="web", models=frozenset({"b"}), rpm=5))
    assert keys.authenticate(b"s").allows("b")
    team.become(Team(id=7, name="web", archived=True))
    assert reason(keys, "s") == "revoked"


@pytest.mark.parametrize(
    ("models", "names", "may"),
    [
        (None, ("x",), True),
        ({"x"}, ("y", "x"), True),
        ({"bge-*"}, ("bge-m3",), True),
        ({"bge-*"}, ("a-bge-m3",), False),
        ({"*/bge*v2"}, ("BAAI/bge-reranker-v2",), True),
        ({"b.e"}, ("bge",), False),
        ({"[a]"}, ("a",), False),
        (set[str](), ("x",), False),
    ],
)
def test_models_may_be_patterns(
    models: set[str] | None, names: tuple[str, ...], *, may: bool
) -> None:
    key = Key(name="a", digest=b"", models=None if models is None else frozenset(models))
    assert key.allows(*names) == may
    team = Team(id=1, name="t", models=key.models)
    assert Key(name="a", digest=b"", team=team).allows(*names) == may


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("call", {"call"}),
        ("explain", {"call", "explain"}),
        ("read", {"read"}),
        ("admin", {"call", "explain", "read", "admin"}),
    ],
)
def test_a_role_may_so_much_and_no_more(role: Role, may: set[Role]) -> None:
    key = Key(name="a", digest=b"", role=role)
    every: tuple[Role, ...] = ("call", "explain", "read", "admin")
    for what in every:
        if what in may:
            key.check_role(what)
        else:
            with pytest.raises(Forbidden) as refused:
                key.check_role(what)
            assert refused.value.reason == "role"


def test_a_key_in_both_places_is_named() -> None:
    keys = ring()
    keys.put([stored(1, "s")])
    keys.put([stored(2, "gone", revoked=True)])
    file = [Key(name="k1", digest=digest("x")), Key(name="k2", digest=digest("y"))]
    same = [Key(name="same", digest=digest("s")), Key(name="back", digest=digest("gone"))]
    assert keys.clashes([*file, *same]) == ["k1", "same", "back"]
