"""Every dialect that can be called, failing in every way, asked in every dialect that is served.

Statuses are those of docs/routes.md's table in the caller's own dialect; no answer, header or log
event has a word, an address or a key of an upstream.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from rerankd.core.errors import (
    BodyTooLarge,
    DeadlineExceeded,
    InvalidRequest,
    Overloaded,
    RerankError,
    UpstreamFailed,
)
from rerankd.core.request import Content, RerankRequest
from rerankd.dialects.base import AnyEndpoint, Dialect, Embedding
from rerankd.dialects.registry import SERVED
from rerankd.dialects.wire import Envelope, Options, WireAnswer
from rerankd.gateway import transport
from tests.kit.providers import CALLABLE, INNER, KEY, ROWS, Connections, Fake, Row
from tests.kit.support import BytesModel, running

CALLER_KEY = "sk-caller-0123456789abcdef"
QUERY, DOCUMENTS = "blue ridge copper", ["red", "blue ridge", "blue", "copper ridge blue"]
BEST_FIRST = [3, 1, 2, 0]
CALLERS_EACH = 5  # dialects in which each provider is asked in each row
UNNAMED = [f for f in SERVED.served if f.name in ("tei", "tei-predict")]
RANKING = [f for f in SERVED.served if not isinstance(f, Embedding)]  # routes rank only
NAMED = [f for f in RANKING if f not in UNNAMED]
CASES = len(ROWS) * (len(CALLABLE) * CALLERS_EACH + len(UNNAMED))
SLOW, SHORT_S = ("no answer", "stops inside the body", "byte by byte"), 0.3
FIRST_PORT = 20_000
SECRETS = (KEY, KEY[3:], INNER, "inner.provider", "127.0.0.1", "Traceback")
ENVELOPE = Envelope(request_id="x", created=0)
REQUEST = RerankRequest(
    query=Content(value=QUERY), documents=tuple(Content(value=d) for d in DOCUMENTS)
)
PAIRS = [[QUERY, document] for document in DOCUMENTS]
BODIES: dict[str, dict[str, Any]] = {
    "tei": {"query": QUERY, "texts": DOCUMENTS},
    "tei-predict": {"inputs": PAIRS},
    "dashscope": {"input": {"query": QUERY, "documents": DOCUMENTS}},
    "mixedbread": {"query": QUERY, "input": DOCUMENTS},
    "nvidia": {"query": {"text": QUERY}, "passages": [{"text": d} for d in DOCUMENTS]},
    "deepinfra": {"queries": [QUERY] * len(DOCUMENTS), "documents": DOCUMENTS},
    "vllm-score": {"queries": QUERY, "documents": DOCUMENTS},
    "llamacpp-texts": {"query": QUERY, "texts": DOCUMENTS},
}


@dataclass(frozen=True, slots=True)
class Case:
    """A caller's dialect and the upstream that his route leads to."""

    caller: AnyEndpoint
    fake: Fake
    name: str  # of upstream and route

    async def ask(self, client: httpx2.AsyncClient) -> httpx2.Response:
        """The answer."""
        marked = [path for mark in self.caller.marks for path in mark.paths]
        path = (*self.caller.own_paths(), *marked)[0]
        body = {**BODIES.get(self.caller.name, {"query": QUERY, "documents": DOCUMENTS})}
        if self.caller not in UNNAMED:
            body["model"] = self.name
        header = self.caller.key_headers[0]
        key = f"Bearer {CALLER_KEY}" if header == "authorization" else CALLER_KEY
        return await client.post(
            re.sub(r"\{\w+\}", self.name, path), json=body, headers={header: key}
        )


def cases(row: Row) -> Iterator[Case]:
    """All of a row: each provider in some dialects, in other ones in the next row."""
    turn = itertools.cycle(NAMED)
    for _ in range(ROWS.index(row) * CALLERS_EACH % len(NAMED)):
        next(turn)
    for dialect in CALLABLE:
        for _ in range(CALLERS_EACH):
            caller = next(turn)
            yield Case(caller, Fake(dialect, row), f"to-{dialect.name}-for-{caller.name}")
    fake = Fake(CALLABLE[ROWS.index(row) % len(CALLABLE)], row)
    for caller in UNNAMED:
        yield Case(caller, fake, "fake-model")


def settings_of(found: list[Case], row: Row) -> dict[str, Any]:
    """One upstream and one route for each case; the last ones share theirs."""
    timeout_s = SHORT_S if row.name in SLOW else 60
    upstreams = {
        case.name: {
            "dialect": case.fake.dialect.name,
            "url": f"http://127.0.0.1:{FIRST_PORT + n}",
            "key_env": "UPSTREAM_KEY",
            "timeout_s": timeout_s,
            "answer_bytes": 1_000_000,
        }
        for n, case in enumerate(found)
    }
    routes = {name: {"to": [{"upstream": name, "name": "theirs"}]} for name in upstreams}
    keys = [{"name": "ordinary", "key": CALLER_KEY}]
    return {"upstream": upstreams, "route": routes, "keys": keys}


def expected(row: Row) -> RerankError | None:
    """What the caller is told; None: the ranking."""
    match row.outcome:
        case "ok":
            return None
        case "timeout":
            return DeadlineExceeded("")
        case "rate_limited" | "overloaded" | "failed":
            return Overloaded("", retry_after_s=row.retry_after_s or 1)
        case "invalid":
            return InvalidRequest("")
        case "over_limit":
            return BodyTooLarge("") if row.name == "413" else InvalidRequest("")
        case _:
            return UpstreamFailed("")


def told(case: Case, answer: httpx2.Response) -> list[int]:
    """The documents of an answer, best first; those of pairs have no order of their own."""
    if not isinstance(case.caller, Dialect):
        return BEST_FIRST
    headers = dict(answer.headers)
    wire = WireAnswer(status=answer.status_code, body=answer.content, headers=headers)
    return [hit.index for hit in case.caller.ranking(wire, REQUEST).hits]


def wrong(case: Case, row: Row, answer: httpx2.Response) -> list[str]:
    """What is wrong with an answer."""
    error, said = expected(row), str(answer.headers) + answer.text
    found = [f"it says {secret!r}" for secret in SECRETS if secret in said]
    if error is None:
        if answer.status_code != 200:
            return [*found, f"{answer.status_code} {answer.text[:300]}"]
        if told(case, answer) != BEST_FIRST:
            found.append(f"another order: {answer.text[:300]}")
        if answer.headers["x-rerankd-route"] != f"{case.name}/theirs":
            found.append(f"answered by {answer.headers['x-rerankd-route']}")
        return found
    status = case.caller.render_error(error, ENVELOPE, Options()).status
    if answer.status_code != status:
        found.append(f"{answer.status_code}, not {status}: {answer.text[:300]}")
    if isinstance(error, Overloaded):
        wait = answer.headers.get("retry-after")
        if wait != str(int(error.retry_after_s)):
            found.append(f"Retry-After {wait}, not {error.retry_after_s:.0f}")
    if case.caller not in UNNAMED and case.name in said:
        found.append("it names the upstream")
    return found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_the_caller_sees_the_tables_status_and_nothing_of_the_upstream(
    row: Row, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    found = list(cases(row))
    upstreams = {FIRST_PORT + n: case.fake for n, case in enumerate(found)}
    monkeypatch.setattr(transport, "dial", Connections(upstreams).dial)
    monkeypatch.setenv("UPSTREAM_KEY", KEY)
    async with running(settings_of(found, row)) as (client, _):
        answers = await asyncio.gather(*(case.ask(client) for case in found))
    problems = [
        f"{case.caller.name} of {case.fake.dialect.name}: {problem}"
        for case, answer in zip(found, answers, strict=True)
        for problem in wrong(case, row, answer)
    ]
    asked = [p for case in found for p in case.fake.wrong]
    assert not asked, asked
    assert not problems, "\n".join(problems)
    printed = "".join(capfd.readouterr())
    assert KEY not in printed
    assert "inner.provider" not in printed
    if row.steps is not None:
        assert all(case.fake.asked for case in found)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_the_next_target_answers_where_that_helps(
    row: Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [case for n, case in enumerate(cases(row)) if n % CALLERS_EACH == 0]
    found = [case for case in found if case.caller not in UNNAMED]
    seconds = [Fake(case.fake.dialect) for case in found]
    fakes = dict(enumerate([*(case.fake for case in found), *seconds], FIRST_PORT))
    monkeypatch.setattr(transport, "dial", Connections(fakes).dial)
    monkeypatch.setenv("UPSTREAM_KEY", KEY)
    values = settings_of(found, row)
    for n, case in enumerate(found):
        url = f"http://127.0.0.1:{FIRST_PORT + len(found) + n}"
        upstream = values["upstream"][case.name]
        values["upstream"][f"{case.name}-2"] = {**upstream, "url": url, "timeout_s": 60}
        names = (case.name, f"{case.name}-2")
        values["route"][case.name]["to"] = [
            {"upstream": name, "name": "theirs", "space": "one"} for name in names
        ]
    async with running(values) as (client, _):
        answers = await asyncio.gather(*(case.ask(client) for case in found))
    problems: list[str] = []
    for case, second, answer in zip(found, seconds, answers, strict=True):
        if row.outcome == "invalid":
            problems += wrong(case, row, answer)
            assert not second.asked
            continue
        who = case.name if row.outcome == "ok" else f"{case.name}-2"
        if answer.headers.get("x-rerankd-route") != f"{who}/theirs":
            problems.append(
                f"{case.caller.name} of {who}: {answer.status_code} {answer.text[:200]}"
            )
        elif told(case, answer) != BEST_FIRST:
            problems.append(f"{who}: another order")
        assert len(case.fake.asked) <= 1
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("instead", ["rerankd-lexical", "input-order"])
async def test_what_stands_in_is_said_in_every_dialect(
    instead: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = next(row for row in ROWS if row.name == "connection refused")
    dialect = CALLABLE[0]
    found = [Case(caller, Fake(dialect, row), f"to-{caller.name}") for caller in NAMED]
    fakes = {FIRST_PORT + n: case.fake for n, case in enumerate(found)}
    monkeypatch.setattr(transport, "dial", Connections(fakes).dial)
    monkeypatch.setenv("UPSTREAM_KEY", KEY)
    values = settings_of(found, row)
    for route in values["route"].values():
        route["when_all_fail"] = instead
    async with running(values, model=BytesModel("rerankd-lexical")) as (client, _):
        answers = await asyncio.gather(*(case.ask(client) for case in found))
    for case, answer in zip(found, answers, strict=True):
        assert answer.status_code == 200, (case.caller.name, answer.text)
        assert answer.headers["x-rerankd-route"] == instead, case.caller.name
        assert "degraded" in answer.headers["x-rerankd-warnings"], case.caller.name
        assert case.name not in answer.headers["x-rerankd-warnings"]


def test_there_are_enough_of_them() -> None:
    assert CASES >= 5_000
    pairs = {(r.name, c.caller.name) for r in ROWS for c in cases(r)}
    assert len(pairs) > len(ROWS) * len(RANKING) * 0.99
