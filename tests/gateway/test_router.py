"""Who may ask which model, what the key pays, and what reaches the backend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from rerankd.access.keys import Key
from rerankd.access.rates import RateLimits
from rerankd.accounts.account import Books
from rerankd.accounts.budget import Budgets
from rerankd.accounts.price import Price, PriceList, Terms
from rerankd.core.answer import Hit, Ranking
from rerankd.core.cascade import Cascade
from rerankd.core.errors import (
    EngineFailed,
    Forbidden,
    InvalidRequest,
    Overloaded,
    RateLimited,
    UnknownModel,
)
from rerankd.core.names import Names
from rerankd.core.request import Content, RerankRequest
from rerankd.gateway.router import Router
from rerankd.service.base import RerankCall, Trace

NAMES = Names(
    models=("first", "second"),
    aliases={"alias": "second", "*": "first"},
    cascades={"second": Cascade(first="first", keep=2), "alias": None},
)
KEY = Key(name="k", digest=b"d" * 32, tpm=100)
REQUEST = RerankRequest(query=Content(value="q"), documents=(Content(value="a"),) * 3)


class Told:
    """A backend that keeps what it was asked and charges 60 tokens."""

    def __init__(self, error: Exception | None = None, names: Names = NAMES) -> None:
        self.names = names
        self.error = error
        self.calls: list[RerankCall] = []

    async def rerank(self, call: RerankCall) -> Sequence[Ranking]:
        self.calls.append(call)
        await call.charge(60)
        if self.error is not None:
            raise self.error
        hits = (Hit(0, 0.5, 0.0),)
        return [
            Ranking(model=call.model, hits=hits, documents=1, input_tokens=60)
            for _ in call.requests
        ]


def router_of(backend: Told, documents: int = 10) -> Router:
    told: Any = backend  # of a Backend, the router asks these two
    return Router(told, RateLimits(clock=lambda: 0.0), documents=documents)


@pytest.mark.parametrize(
    ("asked", "model", "cascade"),
    [
        (None, "first", None),
        ("second", "second", Cascade(first="first", keep=2)),
        ("alias", "second", None),
    ],
)
async def test_a_call_says_who_answers_after_what_for_whom(
    asked: str | None, model: str, cascade: Cascade | None
) -> None:
    backend, trace = Told(), Trace()
    (ranking,) = await router_of(backend).rerank((replace(REQUEST, model=asked),), KEY, trace)
    call = backend.calls[0]
    assert (call.model, call.cascade, call.share) == (model, cascade, "k")
    assert (trace.model, trace.asked, trace.cost.documents) == (model, asked or "", 3)
    assert (ranking.model, ranking.warnings) == (model, ())


@pytest.mark.parametrize("asked", ["gone", "*", "first", None])
async def test_a_name_of_the_stand_in_is_paid_as_the_model(asked: str | None) -> None:
    history = {"gone": 0, "*": 1, "first": 3}
    prices = [
        Price(model=model, terms=Terms(per_request=each), id=each)
        for model, each in history.items()
    ]
    router, trace = router_of(Told()), Trace()
    router.books = Books(Budgets(keep_us=1), prices=PriceList(prices))
    await router.rerank((replace(REQUEST, model=asked),), KEY, trace)
    assert trace.account is not None
    assert trace.account.entry().charge_nano == 3


async def test_the_stand_in_is_told_to_the_caller() -> None:
    requests = (replace(REQUEST, model="gone"),) * 2
    rankings = await router_of(Told()).rerank(requests, KEY, Trace())
    for ranking in rankings:
        assert ranking.warnings == (
            "model: the name asked for is not served; first answered for it (alias *).",
        )


@pytest.mark.parametrize(
    ("names", "models", "error"),
    [
        (Names(models=("first",)), None, UnknownModel),
        (NAMES, frozenset({"second"}), Forbidden),
    ],
)
async def test_nothing_reaches_the_backend_that_may_not(
    names: Names, models: frozenset[str] | None, error: type[Exception]
) -> None:
    backend, asked = Told(names=names), replace(REQUEST, model="unknown")
    with pytest.raises(error):
        await router_of(backend).rerank((asked,), replace(KEY, models=models), Trace())
    with pytest.raises(InvalidRequest, match=r"limits\.documents"):  # before the name is looked up
        await router_of(backend, 5).rerank((asked, asked), KEY, Trace())
    assert backend.calls == []


@pytest.mark.parametrize(
    ("error", "is_paid"),
    [
        (None, True),
        (EngineFailed("broken"), True),
        (Overloaded("full", retry_after_s=1), False),
        (InvalidRequest("wrong"), False),
    ],
)
async def test_what_was_worked_for_is_paid_and_nothing_else(
    error: Exception | None, *, is_paid: bool
) -> None:
    router = router_of(Told(error))
    if error is None:
        await router.rerank((REQUEST,), KEY, Trace())
    else:
        with pytest.raises(type(error)):
            await router.rerank((REQUEST,), KEY, Trace())
    with pytest.raises(RateLimited if is_paid else type(error or Exception())):
        await router.rerank((REQUEST,), KEY, Trace())  # 60 more of 100


async def test_keys_have_memories_of_their_own_unless_they_share_one() -> None:
    backend = Told()
    router = router_of(backend)
    await router.rerank((REQUEST,), replace(KEY, tpm=None), Trace())
    router.is_shared = False
    await router.rerank((REQUEST,), replace(KEY, tpm=None), Trace())
    assert [call.requests[0].scope for call in backend.calls] == [b"", b"d" * 16]
