"""What needs a model to be loaded is named, and nothing else."""

from __future__ import annotations

from rerankd.core.cascade import Cascade
from rerankd.core.names import Names
from rerankd.gateway.targets import LEXICAL, RoutedName, RouteTarget
from rerankd.gateway.uses import uses_of

NAMES = Names(
    models=("a", "b", "c", LEXICAL),
    aliases={"also-b": "b", "*": "c"},
    cascades={"a": Cascade(first="b", keep=10), "c": None},
)


def routed(name: str, *targets: RouteTarget, **fields: object) -> RoutedName:
    return RoutedName(name=name, targets=targets, **fields)  # type: ignore[arg-type]


def uses(model: str, *routes: RoutedName) -> tuple[str, ...]:
    return uses_of(model, NAMES, {route.name: route for route in routes})


def test_the_default_and_a_first_stage_are_used() -> None:
    assert uses("a") == ("requests that name no model",)
    assert uses("b") == ('stages of "a"',)
    assert uses("c") == uses(LEXICAL) == ()  # other names are no use


def test_routes_use_their_targets_shadows_stages_and_stand_ins() -> None:
    up = RouteTarget(upstream="u", model="b")
    here = routed("x", up, RouteTarget(model="also-b"))
    shadowed = routed("y", up, shadow=RouteTarget(model="c"), shadow_share=0.1)
    staged = routed("z", RouteTarget(upstream="u", model="m", first=Cascade(first="c", keep=5)))
    standing = routed("s", up, when_all_fail=LEXICAL)
    every = (here, shadowed, staged, standing)
    assert uses("b", *every) == ('stages of "a"', 'route "x"')
    assert uses("c", *every) == ('route "y"', 'route "z"')
    assert uses(LEXICAL, *every) == ('route "s"',)


def test_a_route_of_the_defaults_name_answers_instead_of_it() -> None:
    assert uses("a", routed("a", RouteTarget(upstream="u", model="m"))) == ()
