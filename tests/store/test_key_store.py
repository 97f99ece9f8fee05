"""Keys of the store: made once, shown once, changed by version, rotated, revoked."""

from __future__ import annotations

import sqlite3

import pytest

from rerankd.access.fields import KeyFields, TeamFields
from rerankd.access.keys import Key, digest
from rerankd.access.ring import KeyRing
from rerankd.core.errors import InvalidRequest, Unauthorized
from rerankd.store.database import Database
from rerankd.store.errors import Conflict, NotFound
from rerankd.store.key_feed import KeyFeed
from rerankd.store.keys import KeyRepo, Wanted
from rerankd.store.teams import TeamRepo

NOW = 1_800_000_000.0


class Clock:
    """Seconds since 1970, moved by the test."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def repo(database: Database, clock: Clock) -> KeyRepo:
    return KeyRepo(database, clock=clock)


@pytest.fixture
def teams(database: Database, clock: Clock) -> TeamRepo:
    return TeamRepo(database, clock=clock)


def taken(repo: KeyRepo, clock: Clock, since: int = 0, ring: KeyRing | None = None) -> KeyRing:
    """A ring that took over what changed."""
    ring = KeyRing(clock=clock) if ring is None else ring
    for apply in KeyFeed(repo, ring.put).read(since):
        apply()
    return ring


def reason(ring: KeyRing, text: str) -> str | None:
    with pytest.raises(Unauthorized) as refused:
        ring.authenticate(text.encode())
    return refused.value.reason


def test_a_key_is_told_once_and_let_in(repo: KeyRepo, clock: Clock) -> None:
    row, text = repo.create(KeyFields(name="search", models=["bge-*"], rpm=5, networks=["::1/128"]))
    assert text.startswith(f"sk-rk-{row.public_id}")
    assert text not in repr(repo.get("search"))
    found = list(taken(repo, clock))
    assert found == [
        Key(
            name="search",
            digest=digest(text),
            id=row.id,
            public_id=row.public_id,
            models=frozenset({"bge-*"}),
            rpm=5,
            networks=found[0].networks,
        )
    ]
    assert [str(each) for each in found[0].networks] == ["::1/128"]


def test_no_key_is_in_the_file(repo: KeyRepo, database: Database) -> None:
    texts = [repo.create(KeyFields(name=f"k{n}"))[1] for n in range(20)]
    texts += [repo.rotate(f"k{n}", grace_s=60)[1] for n in range(20)]
    if database.file is None:
        return  # the same statements; a server's files are not ours to read
    database.close()
    files = list(database.file.parent.glob(f"{database.file.name}*"))
    assert files
    for file in files:
        raw = file.read_bytes()
        for text in texts:
            assert text.encode() not in raw
            assert text[14:54].encode() not in raw  # its secret part
    with sqlite3.connect(database.file) as connection:
        assert connection.execute("select count(*) from key_digest").fetchone() == (40,)


def test_a_name_is_taken_until_its_key_is_revoked(repo: KeyRepo) -> None:
    first, _ = repo.create(KeyFields(name="a"))
    with pytest.raises(Conflict, match="'a' already"):
        repo.create(KeyFields(name="a"))
    repo.revoke("a")
    second, _ = repo.create(KeyFields(name="a"))
    assert repo.get("a").id == second.id
    assert repo.get(first.public_id).id == first.id
    assert repo.get(first.id).revoked_us is not None
    other, _ = repo.create(KeyFields(name="b"))
    with pytest.raises(Conflict, match="'a' already"):
        repo.edit(other.id, KeyFields(name="a"))


def test_an_edit_changes_what_is_given_and_only_of_the_version_that_was_seen(
    repo: KeyRepo, teams: TeamRepo
) -> None:
    teams.create(TeamFields(name="web"))
    row, _ = repo.create(KeyFields(name="a", team="web", rpm=5, tpm=7, note="n"))
    edited = repo.edit("a", KeyFields(rpm=None, tpd=9, team=None), version=row.version)
    assert (edited.rpm, edited.tpm, edited.tpd, edited.note) == (None, 7, 9, "n")
    assert (edited.team, edited.team_id, edited.version) == (None, None, 2)
    with pytest.raises(Conflict, match="version 2 now"):
        repo.edit("a", KeyFields(rpm=1), version=1)
    assert repo.get("a") == edited
    for change in (repo.revoke, repo.rotate):
        with pytest.raises(Conflict):
            change("a", version=1)


def test_what_is_not_there_or_revoked_is_not_changed(repo: KeyRepo) -> None:
    for change in (repo.get, repo.revoke, repo.rotate):
        with pytest.raises(NotFound):
            change("none")
    repo.create(KeyFields(name="a"))
    revoked = repo.revoke("a")
    assert repo.revoke("a") == revoked
    with pytest.raises(InvalidRequest, match="is revoked"):
        repo.edit("a", KeyFields(rpm=1))
    with pytest.raises(InvalidRequest, match="is revoked"):
        repo.rotate("a")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        (KeyFields(), "name"),
        (KeyFields(name=""), "name"),
        (KeyFields(name=" a"), "name"),
        (KeyFields(name="a\nb"), "name"),
        (KeyFields(name="a" * 101), "name"),
        (KeyFields(name="a", rpm=0), "rpm"),
        (KeyFields(name="a", in_flight=2**60), "in_flight"),
        (KeyFields(name="a", models=[]), "models"),
        (KeyFields(name="a", models=[""]), "models"),
        (KeyFields(name="a", networks=["10.0.0.1/8"]), "networks"),
        (KeyFields(name="a", networks=["x"]), "networks"),
        (KeyFields(name="a", team="none"), "team"),
        (KeyFields(name="a", role="root"), "role"),  # pyright: ignore[reportArgumentType]
        (KeyFields(name="a", expires_us=-1), "expires"),
        (KeyFields(name="a", note="x" * 2001), "note"),
        (KeyFields(name="a", tags=["\0"]), "tags"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_nothing_is_written(
    repo: KeyRepo, fields: KeyFields, param: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        repo.create(fields)
    assert refused.value.param == param
    assert repo.list(Wanted()) == []


def test_a_rotated_key_keeps_its_name_and_the_old_one_ends(repo: KeyRepo, clock: Clock) -> None:
    row, first = repo.create(KeyFields(name="a"))
    rotated, second = repo.rotate("a", grace_s=60)
    assert rotated.public_id == row.public_id
    assert second.startswith(f"sk-rk-{row.public_id}")
    ring = taken(repo, clock)
    assert ring.authenticate(first.encode()).id == ring.authenticate(second.encode()).id == row.id
    clock.now += 60
    assert reason(ring, first) == "expired"
    _, third = repo.rotate("a")
    ring = taken(repo, clock)
    assert ring.authenticate(third.encode()).id == row.id
    assert reason(ring, second) == "expired"
    repo.revoke("a")
    assert reason(taken(repo, clock), third) == "revoked"


def test_a_server_reads_what_changed_since_it_last_looked(
    repo: KeyRepo, teams: TeamRepo, clock: Clock
) -> None:
    for name in "abc":
        repo.create(KeyFields(name=name))
    number = repo.changed_since(0).change
    assert repo.changed_since(number).keys == []
    repo.edit("b", KeyFields(rpm=1))
    teams.create(TeamFields(name="web"))
    changed = repo.changed_since(number)
    assert [row.name for row in changed.keys] == ["b"]
    assert [row.name for row in changed.teams.values()] == ["web"]
    assert changed.change == number + 2


def test_keys_are_listed_by_page_and_filter(repo: KeyRepo, teams: TeamRepo, clock: Clock) -> None:
    teams.create(TeamFields(name="web"))
    soon = int(NOW * 1e6) + 1_000_000
    for number in range(5):
        repo.create(KeyFields(name=f"Key-{number}"))
    repo.create(KeyFields(name="in-team", team="web", role="read", expires_us=soon))
    repo.revoke("Key-0")
    clock.now += 1

    def names(wanted: Wanted) -> list[str]:
        return [row.name for row in repo.list(wanted)]

    assert names(Wanted(text="key-")) == [f"Key-{n}" for n in range(5)]
    assert names(Wanted(text="%")) == []
    assert names(Wanted(state="good")) == [f"Key-{n}" for n in range(1, 5)]
    assert names(Wanted(state="revoked")) == ["Key-0"]
    assert names(Wanted(state="expired")) == names(Wanted(team="web")) == ["in-team"]
    assert names(Wanted(role="read")) == ["in-team"]
    first = repo.list(Wanted(), limit=4)
    assert [r.name for r in repo.list(Wanted(), after=first[-1].id)] == ["Key-4", "in-team"]


def test_a_team_shares_its_limits_and_may_be_archived(
    repo: KeyRepo, teams: TeamRepo, clock: Clock
) -> None:
    made = teams.create(TeamFields(name="web", rpm=5, models=["a"]))
    _, text = repo.create(KeyFields(name="k", team="web"))
    with pytest.raises(Conflict):
        teams.create(TeamFields(name="web"))
    ring, used = KeyRing(clock=clock), 0
    feed = KeyFeed(repo, ring.put)

    def update() -> Key:
        nonlocal used
        for apply in feed.read(used):
            apply()
        used = repo.changed_since(used).change
        return ring.authenticate(text.encode())

    key = update()
    assert key.team is not None
    assert (key.team.rpm, key.allows("a"), key.allows("b")) == (5, True, False)
    edited = teams.edit("web", TeamFields(rpm=6, models=None), version=made.version)
    assert (edited.rpm, edited.models, edited.version) == (6, None, 2)
    with pytest.raises(Conflict):
        teams.edit("web", TeamFields(rpm=7), version=1)
    assert update() is key  # the key was not touched
    assert (key.team.rpm, key.allows("b")) == (6, True)
    teams.archive("web")
    with pytest.raises(Unauthorized):
        update()
    with pytest.raises(InvalidRequest, match="is archived"):
        repo.create(KeyFields(name="l", team="web"))
    assert teams.list() == []
    assert teams.keys("web") == 1
    teams.archive("web", undo=True)
    assert update() is key
    with pytest.raises(NotFound):
        teams.get("none")
