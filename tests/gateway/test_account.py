"""What a request takes of budgets and what the ledger is told, for every way that it can end."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from random import Random

import pytest

from rerankd.access.keys import Key
from rerankd.accounts.account import Books, Entry
from rerankd.accounts.budget import EVERYBODY, Amounts, Budget, Budgets, Owner, Ref, Unit
from rerankd.accounts.price import Kind, Price, PriceList, Terms
from rerankd.accounts.window import Window
from rerankd.core.errors import (
    EngineFailed,
    Overloaded,
    QuotaExceeded,
    RateLimited,
    RerankError,
    UpstreamFailed,
)
from rerankd.core.request import Content
from rerankd.gateway.bill import owners_of
from rerankd.service.base import Trace
from tests.kit.gateway import KEY, REQUEST, Gateway, Told, answer, scored

MINUTE = 60_000_000
MICRO = 1000  # a millionth of the currency
MINE = Owner("key", 7)
CALLER = replace(KEY, id=7)
BOTH = [{"upstream": "a", "space": "s"}, {"upstream": "b", "space": "s"}]


def price(model: str, kind: Kind = "price", upstream: str = "", id: int = 1, **terms: int) -> Price:
    return Price(kind=kind, model=model, upstream=upstream, terms=Terms(**terms), id=id)


def budget(amount: int, unit: Unit = "money", window: Window = "total") -> Budget:
    return Budget(ref=Ref(1), owner=MINE, unit=unit, amount=amount, window=window)


def books(*prices: Price, budgets: tuple[Budget, ...] = ()) -> Books:
    held = Budgets(keep_us=10 * MINUTE)
    held.use(budgets)
    return Books(held, prices=PriceList(prices))


def left(found: Books, at_us: int = 0) -> int:
    (state,) = found.budgets.states(MINE, at_us)
    return state[1].left


async def asked(
    gateway: Gateway, found: Books, *, key: Key = CALLER, at_us: int = 0, model: str = "x"
) -> tuple[Entry, Trace]:
    """One request, and what the ledger is told of it; its line is written."""
    gateway.router.books = found
    trace = Trace(at_us=at_us)
    try:
        await gateway.rank(replace(REQUEST, model=model), key=key, trace=trace)
    except RerankError:
        assert trace.account is not None
        assert trace.account.entry() == Entry(attempts=trace.account.entry().attempts)
        raise
    assert trace.account is not None
    entry = trace.account.entry()
    trace.account.spend(1)
    return entry, trace


def test_a_key_spends_of_its_own_its_teams_and_all_budgets() -> None:
    assert owners_of(KEY) == (EVERYBODY,)
    assert owners_of(CALLER) == (MINE, EVERYBODY)


async def test_a_model_here_is_paid_for_exactly() -> None:
    found = books(price("here", per_1m_input=1000, per_1k_search=5000), budgets=(budget(100),))
    entry, _ = await asked(Gateway({"to": BOTH}, a=Told(), b=Told()), found, model="here")
    assert entry == Entry(
        input_tokens=60,
        searches=1,
        tokens_from="exact",
        price_id=1,
        charge_nano=5,  # 60 * 0.001 + 5 = 5.06
    )
    assert left(found) == 95


async def test_a_budget_without_room_refuses_before_anything_is_counted() -> None:
    gateway = Gateway({"to": BOTH}, a=Told(), b=Told())
    for model in ("here", "x"):
        found = books(price("here", per_request=3), price("x", per_request=3), budgets=(budget(2),))
        with pytest.raises(QuotaExceeded) as refused:
            await asked(gateway, found, model=model)
        assert refused.value.remaining == "0.000000002 USD"
        assert "0.000000003 USD needed" in refused.value.message
        assert left(found) == 2
    assert (gateway.here.calls, gateway.ends) == ([], {})


async def test_tokens_over_a_budget_are_refused_when_they_are_counted_and_nothing_stays_taken() -> (
    None
):
    gateway = Gateway({"to": BOTH}, a=Told(), b=Told())
    found = books(budgets=(budget(59, "tokens"),))
    for _ in range(3):  # TPM is given back each time
        with pytest.raises(
            QuotaExceeded, match=r"59 tokens in total, 0 tokens spent.*60 tokens needed"
        ):
            await asked(gateway, found, key=replace(CALLER, tpm=100), model="here")
    assert left(found) == 59


@pytest.mark.parametrize("error", [EngineFailed("x"), Overloaded("full", retry_after_s=1)])
async def test_what_fails_costs_nothing(error: RerankError) -> None:
    gateway, found = (
        Gateway({"to": BOTH}, a=Told(), b=Told()),
        books(budgets=(budget(1, "requests"),)),
    )
    gateway.here.error = error
    for _ in range(2):
        with pytest.raises(type(error)):
            await asked(gateway, found, model="here")
    assert left(found) == 1


async def test_an_upstream_is_settled_with_what_it_counted() -> None:
    gateway = Gateway({"to": BOTH}, a=Told(scored(tokens=12)), b=Told())
    found = books(
        price("x", per_1m_input=1_000_000, id=3),
        price("x", "cost", "a", id=4, per_1m_input=500_000, per_1k_search=2000),
        budgets=(budget(100),),
    )
    entry, _ = await asked(gateway, found)
    assert (entry.input_tokens, entry.tokens_from) == (12, "upstream")
    assert (entry.price_id, entry.charge_nano, entry.cost_id, entry.cost_nano) == (3, 12, 4, 8)
    (attempt,) = entry.attempts
    assert (attempt.target, attempt.status, attempt.tokens, attempt.searches) == ("a/x", 200, 12, 1)
    assert left(found) == 88


SILENT = answer(200, {"model": "m", "data": [{"index": i, "score": 0.5} for i in range(3)]})


async def test_who_does_not_count_is_charged_by_the_estimate() -> None:
    gateway = Gateway({"to": [{"upstream": "a"}]}, a=(Told(SILENT), {"dialect": "pinecone"}))
    found = books(
        price("x", per_1m_input=1_000_000),
        price("x", "cost", "a", per_1m_input=3_000_000),
        budgets=(budget(100),),
    )
    entry, _ = await asked(gateway, found)
    # 3 documents of 1 byte, the query of 1 byte with each: 6 bytes, 3 a token
    assert (entry.input_tokens, entry.tokens_from, entry.charge_nano) == (2, "estimate", 2)
    assert (entry.attempts[0].tokens, entry.cost_nano) == (None, 6)
    assert left(found) == 98


async def test_each_attempt_has_its_cost_and_the_caller_pays_once() -> None:
    gateway = Gateway({"to": BOTH}, a=Told("timeout"), b=Told(scored(tokens=12)))
    found = books(
        price("x", per_request=100),
        price("x", "cost", "a", id=4, per_request=7),
        price("x", "cost", "b", id=5, per_request=9),
        budgets=(budget(100),),
    )
    entry, _ = await asked(gateway, found)
    assert [(a.target, a.outcome, a.cost_nano, a.maybe_billed_nano) for a in entry.attempts] == [
        ("a/x", "timeout", 0, 7),
        ("b/x", "ok", 9, 0),
    ]
    assert (entry.charge_nano, entry.cost_id, entry.cost_nano, entry.maybe_billed_nano) == (
        100,
        5,
        9,
        7,
    )
    assert left(found) == 0


async def test_who_answers_says_the_price_where_the_name_asked_for_has_none() -> None:
    route = {
        "to": [{"upstream": "a", "name": "big", "space": "s"}, {"model": "here", "space": "s"}]
    }
    prices = (price("big", per_request=50, id=1), price("here", per_request=20, id=2))
    found = books(*prices, budgets=(budget(1000),))
    first, _ = await asked(Gateway(route, a=Told()), found)
    second, _ = await asked(Gateway(route, a=Told("failed")), found)
    assert [(e.price_id, e.charge_nano) for e in (first, second)] == [(1, 50), (2, 20)]
    assert (second.tokens_from, second.input_tokens) == ("exact", 60)
    assert left(found) == 930


async def test_when_nobody_answers_nothing_is_charged_and_what_may_be_billed_stays() -> None:
    gateway = Gateway({"to": BOTH}, a=Told("timeout"), b=Told("unreachable"))
    found = books(price("x", "cost", "a", per_request=7), budgets=(budget(1, "requests"),))
    gateway.router.books, trace = found, Trace()
    with pytest.raises(UpstreamFailed):
        await gateway.rank(key=CALLER, trace=trace)
    assert trace.account is not None
    entry = trace.account.entry()
    assert (entry.charge_nano, entry.cost_nano, entry.maybe_billed_nano) == (0, 0, 7)
    assert left(found) == 1


async def test_a_degraded_answer_is_counted_and_free() -> None:
    route = {"to": BOTH, "when_all_fail": "rerankd-lexical"}
    gateway = Gateway(route, a=Told("failed"), b=Told("failed"))
    found = books(price("x", per_request=100), budgets=(budget(100),))
    entry, _ = await asked(gateway, found)
    assert (entry.input_tokens, entry.charge_nano, entry.price_id) == (60, 0, None)
    assert left(found) == 100


async def test_a_client_that_leaves_pays_nothing_and_an_upstream_may_bill_it() -> None:
    gateway = Gateway({"to": BOTH}, a=Told(60.0), b=Told())
    found = books(
        price("x", per_request=3), price("x", "cost", "a", per_request=7), budgets=(budget(3),)
    )
    gateway.router.books, trace = found, Trace()
    task = asyncio.create_task(gateway.rank(key=CALLER, trace=trace))
    while not gateway.upstreams["a"].facts().in_flight:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert left(found) == 0
    task.cancel()
    await asyncio.wait([task])
    assert trace.account is not None
    trace.account.give_back()  # as the endpoint does, whatever happened
    entry = trace.account.entry()
    assert [attempt.outcome for attempt in entry.attempts] == ["left"]
    assert (entry.charge_nano, entry.maybe_billed_nano, left(found)) == (0, 7, 3)


async def test_a_race_holds_the_dearer_price_and_pays_the_winners() -> None:
    to = [
        {"upstream": "a", "name": "m", "space": "s"},
        {"upstream": "b", "name": "n", "space": "s"},
    ]
    gateway = Gateway({"to": to, "hedge_after_s": 0.01}, a=Told(60.0), b=Told())
    found = books(
        price("m", per_request=30),
        price("n", per_request=20),
        price("m", "cost", "a", per_request=7),
        budgets=(budget(30),),
    )
    entry, _ = await asked(gateway, found)
    assert {a.target: a.outcome for a in entry.attempts} == {"a/m": "left", "b/n": "ok"}
    assert (entry.charge_nano, entry.maybe_billed_nano, left(found)) == (20, 7, 10)


async def test_a_window_that_ends_within_a_minute_is_a_rate() -> None:
    gateway = Gateway({"to": BOTH}, a=Told(), b=Told())
    found = books(budgets=(budget(1, "requests", "hour"),))
    await asked(gateway, found, model="here")
    with pytest.raises(QuotaExceeded, match="begins anew at 1970-01-01T01:00:00Z"):
        await asked(gateway, found, model="here", at_us=59 * MINUTE - 1)
    with pytest.raises(RateLimited, match="1 requests per hour") as refused:
        await asked(gateway, found, model="here", at_us=59 * MINUTE)
    assert (refused.value.reason, refused.value.retry_after_s) == ("quota", 60)
    await asked(gateway, found, model="here", at_us=60 * MINUTE)
    never = books(budgets=(budget(0, "requests", "minute"),))  # waiting would not help
    with pytest.raises(QuotaExceeded):
        await asked(gateway, never, model="here")


async def test_what_all_have_spent_together_is_told_nobody() -> None:
    gateway, found = Gateway({"to": BOTH}, a=Told(), b=Told()), books()
    found.budgets.use(
        [Budget(ref=Ref(1), owner=EVERYBODY, unit="requests", amount=0, window="total")]
    )
    with pytest.raises(QuotaExceeded) as refused:
        await asked(gateway, found, key=KEY, model="here")
    assert refused.value.remaining is None
    assert refused.value.message == "The budget of this server has no room for this request."


@pytest.mark.parametrize("seed", range(5))
async def test_64_tasks_at_the_edge_of_a_budget_of_a_model_here(seed: int) -> None:
    random, gateway = Random(seed), Gateway({"to": BOTH}, a=Told(), b=Told())
    cost = 60 * MICRO
    found = books(price("here", per_1m_input=1_000_000_000), budgets=(budget(100 * cost + 7),))
    gateway.router.books = found
    lines = iter(range(10**6))
    paid: list[int] = []

    async def caller() -> None:
        for _ in range(10):
            trace = Trace()
            try:
                await gateway.rank(replace(REQUEST, model="here"), key=CALLER, trace=trace)
            except QuotaExceeded:
                ((_, state),) = found.budgets.states(MINE, 0)
                assert state.left < cost  # else it was refused with room
                continue
            assert trace.account is not None
            for _ in range(random.randrange(3)):
                await asyncio.sleep(0)
            if random.random() < 0.3:
                trace.account.give_back()  # its line could not be written, or the client left
            else:
                paid.append(trace.account.entry().charge_nano)
                trace.account.spend(next(lines))
            ((_, state),) = found.budgets.states(MINE, 0)
            assert state.spent + state.reserved <= state.amount

    await asyncio.gather(*(caller() for _ in range(64)))
    ((_, state),) = found.budgets.states(MINE, 0)
    assert (state.reserved, state.spent) == (0, sum(paid))
    assert sum(paid) == 100 * cost


async def test_64_tasks_at_the_edge_of_a_budget_of_an_upstream() -> None:
    estimate, real = 2, 5  # it counts more than was thought
    gateway = Gateway({"to": [{"upstream": "a"}]}, a=(Told(scored(tokens=real)), {"in_flight": 64}))
    found = books(budgets=(budget(1001, "tokens"),))
    gateway.router.books = found
    running = most = 0

    async def caller(first_line: int) -> None:
        nonlocal running, most
        for line in range(first_line, first_line + 10):
            trace, running = Trace(), running + 1
            try:
                await gateway.rank(key=CALLER, trace=trace)
                assert trace.account is not None
                trace.account.spend(line)
            except QuotaExceeded:
                ((_, state),) = found.budgets.states(MINE, 0)
                assert state.left < estimate
            finally:
                running -= 1
            most = max(most, running)

    await asyncio.gather(*(caller(10 * n) for n in range(64)))
    ((_, state),) = found.budgets.states(MINE, 0)
    assert state.reserved == 0
    # One request's error for each that ran at once: none was admitted when nothing was left.
    assert state.amount - estimate < state.spent <= state.amount + 64 * (real - estimate)


async def test_amounts_of_several_queries_are_one_sum() -> None:
    gateway = Gateway({"to": BOTH}, a=Told(), b=Told())
    found = books(budgets=(budget(1, "searches"),))
    gateway.router.books, trace = found, Trace()
    request = replace(REQUEST, model="here")
    with pytest.raises(QuotaExceeded, match="2 searches needed"):
        await gateway.router.rerank((request, request), CALLER, trace)
    assert left(found) == 1
    assert Amounts() == Amounts(0, 0, 0, 0)


async def test_cheapest_is_asked_first_by_what_this_request_would_cost() -> None:
    to = [{"upstream": "a", "space": "s"}, {"upstream": "b", "space": "s"}]
    costs = [
        {"upstream": "a", "per_request": "0.000000009"},
        {"upstream": "b", "per_1m_input_tokens": "0.004"},  # 2 tokens: 8 nano
    ]
    gateway = Gateway({"to": to, "order": "cheapest"}, costs=costs, a=Told(), b=Told())
    listed = (
        price("*", "cost", "a", per_request=9),
        price("x", "cost", "b", per_1m_input=4_000_000),
    )
    gateway.switch.doors.prices = lambda: PriceList(listed)
    assert (await gateway.rank()).route == (await gateway.rank()).route
    assert list(gateway.ends) == ["b"]
    long = replace(REQUEST, documents=(Content(value="abcdef"),) * 3)
    await gateway.rank(long)
    assert list(gateway.ends) == ["b", "a"]
