"""`keys import` and `upstream import`: callers keep their keys; what is lost is said."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rerankd.access.ring import KeyRing
from rerankd.accounts.budget import Owner
from rerankd.cli.commands import app
from rerankd.core.errors import StartError
from rerankd.store.budgets import BudgetRepo
from rerankd.store.database import Database
from rerankd.store.key_feed import KeyFeed
from rerankd.store.keys import KeyRepo

KEYS = ("aB3" * 16, "cD4" * 16)
Run = Callable[..., str]


@pytest.fixture
def run(
    database: Database,
    store_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """An import of a text, on a store of its own; what it prints."""
    monkeypatch.setenv("RERANKD_STORE_URL", store_url)
    monkeypatch.delenv("RERANKD_CONFIG", raising=False)

    def called(text: str, *words: str, command: str = "keys") -> str:
        (tmp_path / "export").write_text(text)
        capsys.readouterr()
        app([command, "import", str(tmp_path / "export"), *words], result_action="return_value")
        return capsys.readouterr().out

    return called


def ring(database: Database) -> KeyRing:
    """What a server takes over."""
    found = KeyRing()
    for apply in KeyFeed(KeyRepo(database), found.put).read(0):
        apply()
    return found


def test_callers_of_new_api_keep_their_keys(run: Run, database: Database) -> None:
    token: dict[str, Any] = {"status": 1, "name": "default", "expired_time": -1}
    rows = [
        token | {"key": KEYS[0], "remain_quota": 750_000, "group": "vip"},
        token | {"key": KEYS[1], "unlimited_quota": True},
        token | {"key": "aB3a**********B3aB", "name": "masked"},
    ]
    said = run(json.dumps(rows), "--new-api", "--team", "callers")
    assert said.splitlines() == [
        "2 of 3 keys were taken over.",
        "renamed: default is default-2",
        (
            "not taken over: masked: is masked, as new-api's HTTP API shows keys: export its table "
            "tokens instead"
        ),
        "without: default: group: its group, which chose prices and channels there",
    ]
    assert not [key for key in KEYS if key in said]
    good = ring(database)
    for key, name in zip(KEYS, ("default", "default-2"), strict=True):
        for written in (key, f"sk-{key}"):
            found = good.authenticate(written.encode())
            assert (found.name, found.team and found.team.name) == (name, "callers")
    owner = Owner("key", KeyRepo(database).get("default").id)
    [budget] = BudgetRepo(database).list(owner=owner)
    assert (budget.unit, budget.amount, budget.window) == ("money", "1.5", "total")
    again = json.loads(run(json.dumps(rows), "--new-api", "--json"))
    assert [each["name"] for each in again] == [None] * 3
    assert again[0]["why"] == "this very key is in the store already"
    assert len(ring(database)) == 2


def test_callers_of_litellm_keep_their_keys(run: Run, database: Database) -> None:
    hashed = hashlib.sha256(b"sk-litellm-1").hexdigest()
    row = {"token": hashed, "key_alias": "search", "team_id": "t1", "rpm_limit": 7}
    said = run(json.dumps({"keys": [row]}), "--litellm")
    assert said == "1 of 1 keys were taken over.\n"
    found = ring(database).authenticate(b"sk-litellm-1")
    assert (found.name, found.rpm, found.team and found.team.name) == ("search", 7, "t1")


def test_keys_come_by_their_hash(run: Run, database: Database) -> None:
    hashed = hashlib.sha256(b"sk-mine").hexdigest()
    bad = "b,00,"
    said = run(f"name,sha256,team\na,{hashed},\n{bad}\n", "--sha256")
    assert said.splitlines() == [
        "1 of 2 keys were taken over.",
        "not taken over: b: sha256 is not 64 hexadecimal digits",
    ]
    assert ring(database).authenticate(b"sk-mine").name == "a"


def test_a_thousand_keys_of_one_name_are_all_taken_over(run: Run, database: Database) -> None:
    rows = [{"name": "default", "key": f"{n:048}", "status": 1} for n in range(1001)]
    assert run(json.dumps(rows), "--new-api").startswith("1001 of 1001 keys were taken over.")
    assert ring(database).authenticate(b"%048d" % 1000).name == "default-1001"


@pytest.mark.parametrize("words", [(), ("--new-api", "--litellm")])
def test_one_form_must_be_said(run: Run, words: tuple[str, ...]) -> None:
    for command in ("keys", "upstream"):
        with pytest.raises(StartError, match="Say "):
            run("[]", *words, command=command)


def test_upstreams_are_printed_without_their_secrets(run: Run) -> None:
    row = {
        "type": 38,
        "name": "jina",
        "status": 1,
        "key": "sk-secret",
        "models": "jina-reranker-v3",
    }
    said = run(json.dumps({"data": {"items": [row]}}), "--new-api", command="upstream")
    assert 'key_env = "JINA_KEY"' in said
    assert "sk-secret" not in said
