"""`rerankd keys` and `rerankd teams`, as an operator calls them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rerankd.access.token import is_mistyped
from rerankd.cli.commands import app
from rerankd.core.errors import InvalidRequest, StartError
from tests.kit.processes import PATIENCE_S

Run = Callable[..., str]


@pytest.fixture
def run(store_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """A command in this process, on a store of its own; what it prints."""
    monkeypatch.setenv("RERANKD_STORE_URL", store_url)
    monkeypatch.delenv("RERANKD_CONFIG", raising=False)

    def called(*words: str) -> str:
        capsys.readouterr()
        app(words, result_action="return_value")
        return capsys.readouterr().out

    return called


def read(run: Run, *words: str) -> Any:
    return json.loads(run(*words, "--json"))


def test_a_key_is_printed_once_and_alone_on_stdout(run: Run) -> None:
    text = run("keys", "create", "search")
    assert text.endswith("\n")
    key = text.strip()
    assert key.startswith("sk-rk-")
    assert not is_mistyped(key.encode())
    for words in (("show", "search"), ("list",), ("show", "search", "--json"), ("list", "--json")):
        assert key not in run("keys", *words)
        assert key[14:] not in run("keys", *words)


def test_everything_that_may_be_said_of_a_key_is_kept(run: Run) -> None:
    run("teams", "create", "web", "--rpm", "600")
    made = read(
        run,
        *("keys", "create", "search", "--team", "web", "--models", "bge-*,rerank*", "--rpm", "5"),
        *("--tpm", "6", "--rpd", "7", "--tpd", "8", "--in-flight", "9"),
        *("--networks", "10.0.0.0/8", "--networks", "::1", "--role", "explain"),
        *("--expires", "2099-01-31", "--note", "n", "--tags", "a,b"),
    )
    assert made.pop("key").startswith("sk-rk-" + made["public_id"])
    assert made == {
        "id": made["id"],
        "public_id": made["public_id"],
        "name": "search",
        "team_id": made["team_id"],
        "team": "web",
        "role": "explain",
        "models": ["bge-*", "rerank*"],
        "rpm": 5,
        "tpm": 6,
        "rpd": 7,
        "tpd": 8,
        "in_flight": 9,
        "networks": ["10.0.0.0/8", "::1"],
        "note": "n",
        "tags": ["a", "b"],
        "version": 1,
        "expires_at": "2099-01-31T00:00:00+00:00",
        "created_at": made["created_at"],
        "revoked_at": None,
        "source": "store",
        "state": "good",
    }
    assert read(run, "keys", "show", "search") == made
    assert read(run, "keys", "show", made["public_id"]) == made
    words = ("--rpm", "none", "--team", "none", "--models", "none", "--expires", "none")
    edited = read(run, "keys", "edit", "search", *words, "--rename", "find")
    assert edited["version"] == 2
    assert [edited[name] for name in ("rpm", "team", "models", "expires_at")] == [None] * 4
    assert (edited["name"], edited["tpm"]) == ("find", 6)


def test_a_key_is_rotated_and_revoked(run: Run) -> None:
    first = run("keys", "create", "a", "--admin").strip()
    rotated = read(run, "keys", "rotate", "a", "--grace", "1h")
    assert rotated["key"] != first
    assert rotated["key"][:14] == first[:14]
    assert rotated["role"] == "admin"
    assert read(run, "keys", "revoke", "a")["state"] == "revoked"
    assert "revoked" in run("keys", "list")
    assert read(run, "keys", "list", "--state", "good") == []


def test_teams_are_made_edited_and_archived(run: Run) -> None:
    run("teams", "create", "web", "--tpd", "5")
    edited = read(run, "teams", "edit", "web", "--tpd", "none", "--models", "a", "--rename", "app")
    assert (edited["tpd"], edited["models"], edited["name"]) == (None, ["a"], "app")
    run("keys", "create", "k", "--team", "app")
    assert read(run, "teams", "show", "app")["keys"] == 1
    assert "app" in run("teams", "list")
    assert read(run, "teams", "archive", "app")["archived_at"] is not None
    assert read(run, "teams", "list") == []
    assert len(read(run, "teams", "list", "--archived")) == 1
    assert read(run, "teams", "archive", "app", "--undo")["archived_at"] is None


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("show", "none"), "There is no key 'none'."),
        (("create", "a"), "There is a key 'a' already."),
        (("create", "filed"), "The settings have a key 'filed' already"),
        (("create", "b", "--team", "none-such"), "does not exist"),
        (("create", "b", "--rpm", "-1"), "rpm: '-1' is no whole number, or none."),
        (("create", "b", "--rpm", "0"), "rpm: is a whole number from 1 up"),
        (("create", "b", "--expires", "soon"), "expires: 'soon' is no time"),
        (("create", "b", "--networks", "10.0.0.1/8"), "is not an address or a network"),
        (("create", "b", "--admin", "--role", "call"), "are two"),
        (("edit", "a"), "Nothing to change was given"),
        (("rotate", "a", "--grace", "long"), "grace: 'long' is no span of time"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    file = tmp_path / "x.toml"
    file.write_text('[[keys]]\nname = "filed"\nkey = "sk-0123456789abcdef"\n')
    monkeypatch.setenv("RERANKD_CONFIG", str(file))
    run("keys", "create", "a")
    with pytest.raises((StartError, InvalidRequest)) as refused:
        run("keys", *words)
    assert says in str(refused.value)
    assert [row["name"] for row in read(run, "keys", "list")] == ["a", "filed"]


def test_keys_of_the_settings_are_listed_and_stay_theirs(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "x.toml"
    file.write_text('[[keys]]\nname = "filed"\nkey = "sk-0123456789abcdef"\nrpm = 5\n')
    monkeypatch.setenv("RERANKD_CONFIG", str(file))
    [found] = read(run, "keys", "list")
    assert (found["name"], found["source"], found["rpm"]) == ("filed", "file", 5)
    assert "sk-0123456789abcdef" not in run("keys", "list")
    assert read(run, "keys", "list", "--role", "admin") == []


def test_without_a_store_a_command_says_where_to_name_one() -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RERANKD_")}
    found = subprocess.run(
        [sys.executable, "-m", "rerankd", "keys", "list"],
        capture_output=True,
        text=True,
        check=False,
        timeout=5 * PATIENCE_S,
        env=environment,
    )
    assert (found.returncode, found.stdout) == (1, "")
    assert "--store sqlite:" in found.stderr
    assert "Traceback" not in found.stderr
