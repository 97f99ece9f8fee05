"""A request's tokens are counted while they are made."""

from __future__ import annotations

import pytest

from rerankd.core.errors import InvalidRequest
from rerankd.core.meter import Abandoned, Meter
from rerankd.core.request import Content, RerankRequest
from rerankd.models.lexical import LexicalModel

MANY = RerankRequest(
    query=Content(value="q"), documents=tuple(Content(value=f"word{n} " * 50) for n in range(1000))
)


def test_it_counts_until_its_limit() -> None:
    meter = Meter(10)
    meter.add(10)
    with pytest.raises(InvalidRequest, match=r"11 tokens or more .* limit is 10"):
        meter.add(1)


def test_once_cancelled_it_stops_the_work() -> None:
    meter = Meter()
    meter.add(5)
    meter.cancel()
    with pytest.raises(Abandoned):
        meter.add(0)


def test_a_model_stops_where_the_limit_is_passed_not_at_the_end() -> None:
    meter = Meter(500)
    with pytest.raises(InvalidRequest):
        LexicalModel().prepare(MANY, meter)
    assert meter.tokens < 1000


def test_a_model_stops_for_a_caller_that_left() -> None:
    meter = Meter()
    meter.cancel()
    with pytest.raises(Abandoned):
        LexicalModel().prepare(MANY, meter)
    assert meter.tokens == 0
