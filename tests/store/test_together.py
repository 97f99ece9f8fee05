"""Several changes in one transaction, and calls that act once although they come twice."""

from __future__ import annotations

import pytest

from rerankd.access.fields import KeyFields
from rerankd.store.database import Database
from rerankd.store.errors import Conflict
from rerankd.store.idempotency import KEPT_S, KeptAnswer, NamedCall, OtherCall, begin, end
from rerankd.store.keys import KeyRepo, Wanted

ASKED = NamedCall(1, "once", "POST /keys", b"\1" * 32)


def names(repo: KeyRepo) -> list[str]:
    return [row.name for row in repo.list(Wanted())]


def test_what_a_thread_changes_together_is_there_together_or_not_at_all(database: Database) -> None:
    repo = KeyRepo(database)
    with database.together():
        repo.create(KeyFields(name="a"))
        repo.create(KeyFields(name="b"))
        assert names(repo) == ["a", "b"]

    def twice() -> None:
        with database.together():
            repo.create(KeyFields(name="c"))
            repo.create(KeyFields(name="a"))

    with pytest.raises(Conflict):
        twice()
    assert names(repo) == ["a", "b"]
    repo.create(KeyFields(name="c"))  # alone again
    assert names(repo) == ["a", "b", "c"]


def test_the_same_call_gets_its_answer_again_for_a_day(database: Database) -> None:
    now = [1_800_000_000.0]
    with database.write() as connection:
        assert begin(connection, ASKED, clock=lambda: now[0]) is None
        end(connection, ASKED, KeptAnswer(201, {"id": 7}))
    now[0] += KEPT_S - 1
    with database.write() as connection:
        assert begin(connection, ASKED, clock=lambda: now[0]) == KeptAnswer(201, {"id": 7})
        other = ASKED._replace(admin_key_id=2)  # of somebody else: another name
        assert begin(connection, other, clock=lambda: now[0]) is None
    now[0] += 2
    with database.write() as connection:
        assert begin(connection, ASKED, clock=lambda: now[0]) is None


@pytest.mark.parametrize(
    "other", [ASKED._replace(method_path="POST /teams"), ASKED._replace(body_sha256=b"\2" * 32)]
)
def test_a_name_of_another_call_is_refused(database: Database, other: NamedCall) -> None:
    with database.write() as connection:
        begin(connection, ASKED)
        end(connection, ASKED, KeptAnswer(201, None))
    with pytest.raises(OtherCall), database.write() as connection:
        begin(connection, other)


def test_a_call_that_failed_is_as_if_it_had_not_come(database: Database) -> None:
    def failed() -> None:
        with database.together() as connection:
            begin(connection, ASKED)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failed()
    with database.write() as connection:
        assert begin(connection, ASKED) is None
