"""Embeddings are charged, limited, refused and written down as rankings are."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
from starlette.types import Message, Scope
from structlog.testing import capture_logs

from rerankd.accounts.budget import EVERYBODY, Owner
from rerankd.accounts.written import budget_of
from rerankd.core.embedding import EmbedRequest
from rerankd.core.meter import Meter
from rerankd.core.rows import PreparedTexts
from rerankd.engines.fake import FakeEngine
from rerankd.store.budgets import BudgetRepo
from rerankd.store.database import Database, open_database
from rerankd.store.migrate import migrate
from rerankd.store.prices import now_us
from rerankd.store.tables import usage
from rerankd.store.verify import verify
from tests.kit.administered import administered
from tests.kit.processes import PATIENCE_S
from tests.kit.support import BytesModel, running, stop_rates
from tests.store import recompute

KEY = "sk-of-embeddings-0123456789"
GOOD = {"authorization": f"Bearer {KEY}"}
MODEL = "fake-model"
TEXTS = ["a", "bbb", "a"]
TOKENS = 5  # one for each byte, equal texts each
# 10 nano a token and 50 a request; were there a search, it would cost a thousand million
PRICE = {
    "model": MODEL,
    "per_1m_input_tokens": "0.01",
    "per_request": "0.00000005",
    "per_1k_searches": "1000",
}
PAID = 10 * TOKENS + 50
FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "openai-embeddings": ("/v1/embeddings", {"input": TEXTS}),
    "cohere-v2-embed": ("/v2/embed", {"texts": TEXTS}),
    "cohere-v1-embed": ("/v1/embed", {"texts": TEXTS}),
    "voyage-embeddings": ("/voyage/v1/embeddings", {"input": TEXTS}),
    "jina-embeddings": ("/jina/v1/embeddings", {"input": TEXTS}),
    "tei-embed": ("/embed", {"inputs": TEXTS}),
    "tei-openai": ("/tei/v1/embeddings", {"input": TEXTS}),
}
RANKING = ("/v1/rerank", {"query": "q", "documents": ["a"]})  # 3 tokens
all_forms = pytest.mark.parametrize("form", list(FORMS))


class Counting(BytesModel):
    """Tells whether it was asked to tokenise, and what ran."""

    def __init__(self, engine: FakeEngine | None = None) -> None:
        super().__init__(engine=engine)
        self.prepared = 0

    def prepare_texts(self, request: EmbedRequest, meter: Meter) -> PreparedTexts:
        self.prepared += 1
        return super().prepare_texts(request, meter)

    @property
    def batches(self) -> list[int]:
        """Texts of each batch that ran."""
        assert isinstance(self.engine, FakeEngine)
        return self.engine.batches


class Held:
    """An engine's work that goes on until it is told to end."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def sleep(self, _: float) -> None:
        """Instead of FakeEngine.sleep."""
        self.begun.set()
        assert self.go_on.wait(PATIENCE_S)


def broken(_: float) -> None:
    raise RuntimeError("broken")


def working(sleep: Callable[[float], None]) -> FakeEngine:
    """An engine that does this whenever it runs."""
    engine = FakeEngine(max_length=None, delay_s=1)
    engine.sleep = sleep
    return engine


def stored(url: str, tmp_path: Path, **key: Any) -> dict[str, Any]:
    return {
        "store": {"url": url, "journal": str(tmp_path / "journal")},
        "keys": [{"name": "search", "key": KEY, **key}],
        "price": [PRICE],
    }


def prepared(url: str, *budgets: str) -> None:
    """Make a store with budgets of all."""
    database = open_database(url)
    migrate(database)
    for each in budgets:
        BudgetRepo(database).set(EVERYBODY, budget_of(each, "USD"))
    database.close()


def rows(url: str) -> list[dict[str, Any]]:
    database = open_database(url)
    with database.read() as connection:
        found = connection.execute(sa.select(usage).order_by(usage.c.at_us)).mappings().all()
    database.close()
    return [dict(row) for row in found]


@all_forms
async def test_an_answer_is_a_row_with_exact_tokens_and_its_price(
    store_url: str, tmp_path: Path, form: str
) -> None:
    path, body = FORMS[form]
    async with running(stored(store_url, tmp_path)) as (client, _):
        assert (await client.post(path, json=body, headers=GOOD)).status_code == 200
    (row,) = rows(store_url)
    assert (row["status"], row["error"], row["key_name"]) == (200, "", "search")
    assert (row["dialect"], row["path"]) == (form, path)
    assert (row["model_asked"], row["model_answered"]) == ("", MODEL)
    assert (row["documents"], row["pairs"], row["searches"]) == (3, 0, 0)
    assert (row["input_tokens"], row["tokens_from"], row["image_tokens"]) == (TOKENS, "exact", 0)
    assert (row["price_id"], row["charge_nano"]) == (1, PAID)
    assert 0 < row["engine_us"] < row["total_us"]


async def test_prompts_are_tokens_that_are_paid_and_shown(store_url: str, tmp_path: Path) -> None:
    body = {"input": TEXTS, "input_type": "query"}  # "q:" before each
    async with running(stored(store_url, tmp_path)) as (client, _):
        answer = await client.post("/v1/embeddings", json=body, headers=GOOD)
    (row,) = rows(store_url)
    assert answer.json()["usage"]["total_tokens"] == row["input_tokens"] == TOKENS + 3 * 2
    assert row["charge_nano"] == PAID + 10 * 3 * 2


async def test_the_bill_recomputes_and_the_ledger_verifies(
    store_url: str, tmp_path: Path, database: Database
) -> None:
    values = stored(store_url, tmp_path)
    async with running(values, aliases={"*": MODEL, "ada": MODEL}) as (client, _):
        for name in (None, MODEL, "ada", "nobody"):
            body = {"input": TEXTS} | ({"model": name} if name else {})
            answer = await client.post("/v1/embeddings", json=body, headers=GOOD)
            assert answer.status_code == 200
        wrong = await client.post("/v1/embeddings", json={"input": []}, headers=GOOD)
        assert wrong.status_code == 400
        assert (await client.post(RANKING[0], json=RANKING[1], headers=GOOD)).status_code == 200
    with database.read() as connection:
        found = recompute.bill(
            connection.execute(sa.text(recompute.PRICES)).all(),
            connection.execute(sa.text(recompute.ROWS)).all(),
        )
    ranked = 10 * 3 + 50 + 1_000_000_000
    assert (found.charged, found.differing) == (4 * PAID + ranked, [])
    verdict = verify(database, tmp_path / "journal")
    assert (verdict.problems, verdict.rows, verdict.charge_nano) == ([], 6, 4 * PAID + ranked)
    with database.write() as connection:
        of_one = sa.update(usage).where(usage.c.model_asked == "ada")
        connection.execute(of_one.values(charge_nano=PAID + 1))
    (first, *_) = verify(database, tmp_path / "journal").problems
    assert f"by its price it is {PAID}" in first


# Where each format says why.
WHERE: dict[str, tuple[str, ...]] = {
    "openai-embeddings": ("error", "message"),
    "cohere-v2-embed": ("message",),
    "cohere-v1-embed": ("message",),
    "voyage-embeddings": ("detail",),
    "jina-embeddings": ("detail",),
    "tei-embed": ("error",),
    "tei-openai": ("message",),
}


def at(found: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        found = found[name]
    return found


@all_forms
async def test_a_used_up_budget_refuses_in_the_callers_dialect_before_any_work(
    store_url: str, tmp_path: Path, form: str
) -> None:
    prepared(store_url, "0 requests")
    (path, body), model = FORMS[form], Counting()
    async with running(stored(store_url, tmp_path), model=model) as (client, _):
        answer = await client.post(path, json=body, headers=GOOD)
    assert answer.status_code == (403 if form == "jina-embeddings" else 402), answer.text
    assert answer.headers["x-rerankd-reason"] == "quota"
    assert "retry-after" not in answer.headers
    assert "no room for this request" in at(answer.json(), WHERE[form])
    assert (model.prepared, model.batches) == (0, [])
    assert [(row["status"], row["charge_nano"]) for row in rows(store_url)] == [(402, 0)]


@pytest.mark.parametrize("budget", [f"{TOKENS} tokens", f"{PAID / 1e9:.10f} USD"])
async def test_a_budget_that_tokens_use_up_refuses_before_the_engine(
    store_url: str, tmp_path: Path, budget: str
) -> None:
    prepared(store_url, budget)
    model = Counting()
    async with running(stored(store_url, tmp_path), model=model) as (client, state):
        more = {"input": [*TEXTS, "x"]}
        statuses = [
            (await client.post("/v1/embeddings", json=body, headers=GOOD)).status_code
            for body in (more, {"input": TEXTS}, {"input": "a"})
        ]
        assert state.accounts is not None
        ((_, left),) = state.accounts.books.budgets.states(EVERYBODY, now_us())
    assert statuses == [402, 200, 402]
    assert (model.prepared, model.batches) == (2, [2])
    assert (left.left, left.reserved) == (0, 0)


async def test_searches_of_a_budget_are_not_used_up(store_url: str, tmp_path: Path) -> None:
    prepared(store_url, "1 searches")
    async with running(stored(store_url, tmp_path)) as (client, _):
        for _ in range(3):
            answer = await client.post("/v1/embeddings", json={"input": TEXTS}, headers=GOOD)
            assert answer.status_code == 200
        ranked = [
            (await client.post(RANKING[0], json=RANKING[1], headers=GOOD)).status_code
            for _ in range(2)
        ]
    assert ranked == [200, 402]


async def test_a_prepaid_balance_is_spent_refuses_and_is_shown_to_its_owner(
    store_url: str, tmp_path: Path
) -> None:
    async with administered(store_url, tmp_path, {"price": [PRICE]}) as server:
        owner = Owner("key", server.keys.get("call").id)
        BudgetRepo(server.store.database).top_up(owner, 2 * PAID + 1)
        for apply in await asyncio.to_thread(lambda: list(server.store.money.read(0))):
            apply()
        me = server.headers("call")

        async def ask() -> Any:
            body = {"input": TEXTS}
            return await server.client.post("/v1/embeddings", json=body, headers=me)

        answers = [await ask() for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 402]
    error = answers[-1].json()["error"]
    assert (error["type"], error["code"]) == ("insufficient_quota", "insufficient_quota")
    assert "The balance of this key has no room" in error["message"]
    assert answers[-1].headers["x-rerankd-budget-remaining"] == "0.000000001 USD"


@pytest.mark.parametrize("limit", ["rpm", "tpm"])
@all_forms
async def test_a_used_up_rate_refuses_in_the_callers_dialect_before_any_work(
    form: str, limit: str
) -> None:
    (path, body), model = FORMS[form], Counting()
    most = {"rpm": 1, "tpm": TOKENS}[limit]
    keys = [{"name": "search", "key": KEY, limit: most}]
    async with running({"keys": keys}, model=model) as (client, state):
        stop_rates(state)
        first = await client.post(path, json=body, headers=GOOD)
        second = await client.post(path, json=body, headers=GOOD)
    assert (first.status_code, second.status_code) == (200, 429)
    assert int(second.headers["retry-after"]) > 0
    assert limit.upper() in at(second.json(), WHERE[form])
    # Requests are counted before the body is read, tokens once they are counted exactly.
    assert (model.prepared, model.batches) == ({"rpm": 1, "tpm": 2}[limit], [2])


async def test_it_is_in_usage_of_the_key_and_of_the_operator(
    store_url: str, tmp_path: Path
) -> None:
    async with administered(store_url, tmp_path, {"price": [PRICE]}) as server:
        me = server.headers("call")
        asked = await server.client.post("/v1/embeddings", json={"input": TEXTS}, headers=me)
        assert asked.status_code == 200
        async with asyncio.timeout(PATIENCE_S):
            while not (mine := (await server.client.get("/v1/usage", headers=me)).json()["data"]):
                await asyncio.sleep(0.02)
        theirs = (await server.good("GET", "/usage"))["data"]
        since = f"/usage/summary?start_time={now_us() // 1_000_000 - 3600}"
        sums = (await server.client.get(f"/v1{since}", headers=me)).json()
        all_sums = await server.good("GET", f"{since}&group_by[]=model")
    for (row,) in (mine, theirs):
        assert row["request_id"] == asked.headers["x-request-id"]
        assert (row["dialect"], row["model_answered"]) == ("openai-embeddings", MODEL)
        assert (row["input_tokens"], row["documents"], row["searches"]) == (TOKENS, 3, 0)
        assert row["charge"] == "0.0000001"
    for page in (sums, all_sums):
        (result,) = [one for bucket in page["data"] for one in bucket["results"]]
        assert (result["num_model_requests"], result["input_tokens"]) == (1, TOKENS)


async def test_it_is_in_the_metrics_and_in_the_log() -> None:
    keys = [{"name": "search", "key": KEY}]
    with capture_logs() as logs:
        async with running({"keys": keys}) as (client, _):
            for path, body in FORMS.values():
                await client.post(path, json=body, headers=GOOD)
            await client.post("/v1/embeddings", json={"input": []}, headers=GOOD)
            metrics = (await client.get("/metrics")).text
    for form in FORMS:
        assert (
            f'rerankd_requests_total{{dialect="{form}",model="{MODEL}",status="200"}} 1.0'
        ) in metrics
    good = len(FORMS)
    assert f'rerankd_key_requests_total{{key="search"}} {good + 1}.0' in metrics
    assert f'rerankd_key_input_tokens_total{{key="search"}} {good * TOKENS}.0' in metrics
    *events, refused = [log for log in logs if log["event"] == "rerank"]
    assert [event["dialect"] for event in events] == list(FORMS)
    for event in events:
        said = {name: event[name] for name in ("key", "model", "status", "error", "documents")}
        assert said == {
            "key": "search",
            "model": MODEL,
            "status": 200,
            "error": "",
            "documents": len(TEXTS),
        }
        assert (event["pairs"], event["input_tokens"]) == (0, TOKENS)
        assert event["engine_ms"] > 0
    assert (refused["status"], refused["error"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("sent", "tokens"), [(FORMS["openai-embeddings"], TOKENS), (RANKING, 3)], ids=["embed", "rank"]
)
async def test_who_leaves_while_the_engine_works_pays_nothing_and_holds_nothing(
    store_url: str, tmp_path: Path, sent: tuple[str, dict[str, Any]], tokens: int
) -> None:
    """Of budgets nothing, as of all that is not answered; of TPM what was worked on."""
    prepared(store_url, "10 USD", "100 tokens")
    held = Held()
    values = stored(store_url, tmp_path, tpm=1000)
    async with running(values, model=BytesModel(engine=working(held.sleep))) as (client, state):
        stop_rates(state)
        await left_while(held, client, *sent)
        held.go_on.set()
        assert state.accounts is not None
        for _, left in state.accounts.books.budgets.states(EVERYBODY, now_us()):
            assert (left.spent, left.reserved) == (0, 0)
        assert state.inflight.used == 0
        counted = state.rates.headers(state.keys.authenticate(KEY.encode()))
        assert counted["x-ratelimit-remaining-tokens"] == str(1000 - tokens)
    (row,) = rows(store_url)
    said = (row["status"], row["error"], row["charge_nano"], row["input_tokens"], row["price_id"])
    assert said == (499, "client_gone", 0, tokens, None)


async def left_while(
    held: Held, client: httpx2.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    """Ask, and leave as soon as the engine works on it."""
    app: Any = client._transport  # pyright: ignore[reportPrivateUsage]
    raw, sent = json.dumps(body).encode(), False

    async def receive() -> Message:
        nonlocal sent
        if not sent:
            sent = True
            return {"type": "http.request", "body": raw, "more_body": False}
        assert await asyncio.to_thread(held.begun.wait, PATIENCE_S)
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    headers = {"host": "test", "content-type": "application/json", **GOOD}
    scope: Scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("test", 80),
        "scheme": "http",
        "http_version": "1.1",
    }
    await app.app(scope, receive, send)


async def test_what_the_engine_failed_costs_nothing_and_its_tokens_stay_counted(
    store_url: str, tmp_path: Path
) -> None:
    prepared(store_url, "0.001 USD")
    model = BytesModel(engine=working(broken))
    values = stored(store_url, tmp_path, tpm=2 * TOKENS - 1)
    async with running(values, model=model) as (client, state):
        stop_rates(state)
        statuses = [
            (await client.post("/v1/embeddings", json={"input": TEXTS}, headers=GOOD)).status_code
            for _ in range(2)
        ]
        assert state.accounts is not None
        ((_, left),) = state.accounts.books.budgets.states(EVERYBODY, now_us())
    assert statuses == [500, 429]
    assert (left.spent, left.reserved) == (0, 0)
    assert [row["charge_nano"] for row in rows(store_url)] == [0, 0]
