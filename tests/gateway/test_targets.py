"""Who may answer for a routed name, and who is asked first."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from rerankd.core.errors import SpaceUnavailable
from rerankd.gateway.targets import (
    NO_WISH,
    Order,
    RoutedName,
    RouteTarget,
    Wish,
    in_space,
    left_out,
    ordered,
    upstream_space,
)

A = RouteTarget(upstream="a", model="m", space="one", weight=3)
B = RouteTarget(upstream="b", model="m", space="two")
C = RouteTarget(upstream="c", model="m", space="one")
ROUTE = RoutedName(name="r", targets=(A, B, C))


def space_of(target: RouteTarget) -> str:
    return target.space


def test_only_targets_of_the_first_ones_space_answer_unless_the_operator_says_any() -> None:
    assert in_space(ROUTE, NO_WISH, space_of) == (A, C)
    route = RoutedName(name="r", targets=(A, B, C), spaces="any")
    assert in_space(route, NO_WISH, space_of) == (A, B, C)


def test_a_target_that_only_answers_who_insists_is_told_to_the_operator() -> None:
    (sentence,) = left_out(ROUTE)
    assert sentence.startswith('route."r".to[1]: ')
    assert not list(left_out(RoutedName(name="r", targets=(A, B, C), spaces="any")))


def test_whoever_insists_on_a_scale_gets_it_or_is_told_which_there_are() -> None:
    assert in_space(ROUTE, Wish(space="two"), space_of) == (B,)
    with pytest.raises(SpaceUnavailable, match=r"'three'.*'one', 'two'") as refused:
        in_space(ROUTE, Wish(space="three"), space_of)
    assert refused.value.status == 503


def test_two_models_of_one_provider_have_two_spaces() -> None:
    assert (
        len({upstream_space("jina", "a"), upstream_space("jina", "b"), upstream_space("x", "a")})
        == 3
    )


def test_the_order_is_as_listed_by_speed_unknown_ones_before_the_others_or_by_cost() -> None:
    latency = {"a/m": 0.3, "b/m": 0.1}.get
    costs = {"a/m": 5, "b/m": 3}
    seed = Random(0)

    def known(target: RouteTarget) -> float | None:
        return latency(target.label)

    def by(order: Order) -> tuple[RouteTarget, ...]:
        return ordered(
            (A, B, C),
            order,
            latency_s=known,
            cost=lambda target: costs.get(target.label, 3),
            random=seed,
        )

    assert by("first") == (A, B, C)
    assert by("fastest") == (C, B, A)
    assert by("cheapest") == (B, C, A)


def test_by_lot_each_comes_first_as_often_as_it_weighs() -> None:
    seed = Random(7)
    first = Counter(
        ordered((A, B, C), "weighted", latency_s=lambda _: None, cost=lambda _: 0, random=seed)[
            0
        ].label
        for _ in range(5000)
    )
    assert first["a/m"] / 5000 == pytest.approx(0.6, abs=0.03)
    assert first["b/m"] / 5000 == pytest.approx(0.2, abs=0.03)
