"""A used-up budget, a failed provider, a scale that nobody has: each dialect's status for them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from rerankd.core.errors import (
    QuotaExceeded,
    Rate,
    RateLimited,
    RerankError,
    SpaceUnavailable,
    UpstreamFailed,
)
from rerankd.dialects.base import AnyEndpoint
from rerankd.dialects.registry import SERVED
from rerankd.dialects.wire import Envelope, Options, WireAnswer

PAGE = Path(__file__).parents[2] / "docs" / "dialects" / "README.md"
BUDGET = {
    "gateway": 403,
    "siliconflow": 403,
    "jina": 403,
    "jina-embeddings": 403,
    "dashscope": 400,
    "dashscope-compatible": 400,
    "litellm": 422,
}
FAILED = {"tei": 424, "tei-predict": 424, "tei-embed": 424, "tei-openai": 424}
NAMES: dict[str, str] = {  # as the page has them, where that is not the dialect's own
    "Together AI": "together",
    "Fireworks AI": "fireworks",
    "llama.cpp": "llamacpp",
    "NVIDIA": "nvidia",
    "Cohere v1": "cohere-v1",
    "v2": "cohere-v2",
}
SAID = "The budget of this key is used up."

every = pytest.mark.parametrize("dialect", SERVED.served, ids=lambda found: found.name)


def shown(dialect: AnyEndpoint, error: RerankError) -> WireAnswer:
    return dialect.render_error(error, Envelope(request_id="r", created=0), Options())


@every
def test_the_statuses(dialect: AnyEndpoint) -> None:
    budget = shown(dialect, QuotaExceeded(SAID, remaining="0.25 USD"))
    assert budget.status == BUDGET.get(dialect.name, 402)
    assert budget.headers["x-rerankd-budget-remaining"] == "0.25 USD"
    assert SAID in budget.body.decode()
    assert budget.headers["x-rerankd-reason"] == "quota"
    assert budget.headers["x-should-retry"] == "false"
    assert "retry-after" not in budget.headers
    assert shown(dialect, UpstreamFailed("x")).status == FAILED.get(dialect.name, 502)
    space = shown(dialect, SpaceUnavailable("There is 'a', 'b'."))
    assert space.status == 503
    assert "There is 'a', 'b'." in space.body.decode()
    assert space.headers["x-rerankd-reason"] == "space"


def test_the_page_says_the_same() -> None:
    text = PAGE.read_text("utf-8").split("## A used-up budget")[1].split("\n## ")[0]
    row = r"^\| ([^|]+) \| (\d+)[^|]* \| (\d+)[^|]* \| "
    rows: list[tuple[str, str, str]] = re.findall(row, text, re.MULTILINE)
    told: dict[str, tuple[int, int]] = {}
    for names, budget, failed in rows:
        for name in names.removesuffix(", both").split(", "):
            told[NAMES.get(name) or name.lower()] = int(budget), int(failed)
    for dialect in SERVED.served:
        names = (dialect.name, dialect.name.removesuffix("-embed"), dialect.prefix)
        known = next(name for name in names if name in told)
        wanted = BUDGET.get(dialect.name, 402), FAILED.get(dialect.name, 502)
        assert told[known] == wanted, dialect.name


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("superset", {"code": 30001}),
        ("siliconflow", {"code": 30001, "message": SAID, "data": None}),
        ("jina", {"code": "AUTHZ_INSUFFICIENT_BALANCE", "detail": SAID}),
        ("dashscope", {"code": "Arrearage", "message": SAID}),
        ("pinecone", {"error": {"code": "PAYMENT_REQUIRED", "message": SAID}, "status": 402}),
        ("cohere-v2", {"message": SAID}),
        ("voyage", {"detail": SAID}),
    ],
)
def test_a_used_up_budget_is_in_the_providers_words(name: str, found: dict[str, Any]) -> None:
    dialect = next(served for served in SERVED.served if served.name == name)
    body = json.loads(shown(dialect, QuotaExceeded(SAID)).body)
    assert {key: body[key] for key in found} == found


def test_litellm_names_its_type() -> None:
    dialect = next(served for served in SERVED.served if served.name == "litellm")
    error = json.loads(shown(dialect, QuotaExceeded(SAID)).body)["error"]
    assert (error["type"], error["code"]) == ("budget_exceeded", "422")


@every
@pytest.mark.parametrize("limit", get_args(Rate))
def test_every_limit_is_a_429_that_says_which_and_how_long(
    dialect: AnyEndpoint, limit: Rate
) -> None:
    error = RateLimited(limit, retry_after_s=12.2, why="", remaining=None)
    answer = shown(dialect, error)
    assert (answer.status, answer.headers["retry-after"]) == (429, "13")
    said = "quota" if limit == "budget" else limit.lower()
    assert answer.headers["x-rerankd-reason"] == said
    assert "x-should-retry" not in answer.headers


@every
def test_a_budget_that_begins_anew_within_a_minute_is_worth_waiting_for(
    dialect: AnyEndpoint,
) -> None:
    error = RateLimited("budget", retry_after_s=12.2, why=SAID, remaining="3 requests")
    answer = shown(dialect, error)
    assert (answer.status, answer.headers["retry-after"]) == (429, "13")
    assert answer.headers["x-rerankd-budget-remaining"] == "3 requests"
    assert SAID in answer.body.decode()
