"""`rerankd prices`, `rerankd budgets` and `keys create --budget`, as an operator calls them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from rerankd.cli.commands import app
from rerankd.core.errors import InvalidRequest, StartError

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


def test_prices_are_added_and_listed(run: Run) -> None:
    first = read(run, "prices", "add", "m", "--per-1m-input-tokens", "0.10", "--from", "2000-01-01")
    assert (first["id"], first["kind"], first["per_1m_input_tokens"]) == (1, "price", "0.1")
    assert first["starts"] > "2026"  # nobody pays for what is past
    read(run, "prices", "add", "m", "--per-1k-searches", "2", "--from", "2100-01-01")
    read(run, "prices", "add", "*", "--upstream", "u", "--per-request", "0.5")
    assert [row["id"] for row in read(run, "prices", "list")] == [1, 2, 3]
    assert [row["id"] for row in read(run, "prices", "list", "--kind", "cost")] == [3]
    assert [row["id"] for row in read(run, "prices", "list", "--model", "m")] == [1, 2]
    shown = run("prices", "list")
    assert "u/* (cost)" in shown
    assert "2 of 100" in shown
    with pytest.raises(InvalidRequest, match=r"^from: .*choose a later start"):
        run("prices", "add", "m", "--per-request", "1", "--from", "2000-01-01")
    with pytest.raises(StartError, match="starts at 2100-01-01T00:00:00Z already"):
        run("prices", "add", "m", "--per-request", "1", "--from", "2100-01-01")
    with pytest.raises(InvalidRequest, match="currency: EUR is not USD"):
        run("prices", "add", "m", "--per-request", "1", "--currency", "EUR")


def test_budgets_are_set_listed_and_ended(run: Run) -> None:
    run("keys", "create", "search", "--budget", "20 USD/month", "--budget", "5 requests/day")
    run("teams", "create", "web")
    team = read(run, "budgets", "set", "1000 tokens", "--team", "web", "--tz", "Europe/Berlin")
    assert (team["team_id"], team["amount"], team["window"], team["tz"]) == (
        *(1, "1000", "total", "Europe/Berlin"),
    )
    assert read(run, "budgets", "set", "9 searches/hour", "--all")["key_id"] is None
    listed = read(run, "budgets", "list", "--key", "search")
    assert [(b["unit"], b["amount"], b["left"], b["window"]) for b in listed] == [
        ("money", "20", "20", "month"),
        ("requests", "5", "5", "day"),
    ]
    again = read(run, "budgets", "set", "30 USD/month", "--key", "search")
    assert (again["id"], again["version"]) == (listed[0]["id"], 2)
    shown = run("budgets", "list")
    assert "key search" in shown
    assert "30 USD" in shown
    read(run, "budgets", "end", str(team["id"]))
    assert read(run, "budgets", "list", "--team", "web") == []
    with pytest.raises(StartError, match="has ended"):
        run("budgets", "end", str(team["id"]))


def test_money_is_paid_in_once_with_an_id(run: Run) -> None:
    run("keys", "create", "search")
    for _ in range(2):
        paid = read(run, "budgets", "top-up", "20.5", "--key", "search", "--id", "i1")
        assert (paid["amount"], paid["balance"]) == ("20.5", "20.5")
    (balance,) = read(run, "budgets", "list")
    assert (balance["window"], balance["amount"], balance["id"]) == ("prepaid", "20.5", None)
    with pytest.raises(StartError, match="another payment"):
        run("budgets", "top-up", "1", "--key", "search", "--id", "i1")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("budgets", "set", "20 USD"), "one of --key, --team and --all"),
        (("budgets", "set", "20 USD", "--all", "--team", "web"), "one of --key, --team and --all"),
        (("budgets", "set", "20 EUR", "--all"), "EUR is not USD"),
        (("budgets", "set", "20 USD", "--all", "--tz", "Berlin"), "no time zone"),
        (("budgets", "top-up", "1e3", "--key", "search"), "is not an amount"),
        (("keys", "create", "new", "--budget", "much"), "'much' is none"),
        (("keys", "create", "new", "--budget", "5 requests/week"), "'week' is no window"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(run: Run, words: tuple[str, ...], said: str) -> None:
    run("keys", "create", "search")
    with pytest.raises(InvalidRequest, match=said):
        run(*words)
    assert [key["name"] for key in read(run, "keys", "list")] == ["search"]
