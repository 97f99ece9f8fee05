"""Who may answer for a routed name: targets, their score spaces, and in which order. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final, Literal

from rerankd.core.cascade import Cascade
from rerankd.core.errors import SpaceUnavailable

Order = Literal["first", "weighted", "fastest", "cheapest"]
LEXICAL: Final = "rerankd-lexical"
Degraded = Literal["rerankd-lexical", "input-order"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTarget:
    """A model of this server (`upstream` is ""), or one at an upstream.

    `space` is what the operator gave, or for an upstream its default; "" = that of the local model,
    which is known when it is loaded.
    """

    upstream: str = ""
    model: str  # a name that this server serves, or the upstream's own
    space: str = ""
    weight: int = 1
    first: Cascade | None = None  # a stage of this server before an upstream

    @property
    def label(self) -> str:
        """For logs and metrics."""
        return f"{self.upstream or 'local'}/{self.model}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutedName:
    """A routed name."""

    name: str
    targets: tuple[RouteTarget, ...]
    order: Order = "first"
    attempts: int = 2
    spaces: Literal["same", "any"] = "same"
    on_loss: Literal["skip", "refuse", "warn"] = "skip"
    when_all_fail: Degraded | None = None  # None: an error
    retry_budget: float = 0.1
    hedge_after_s: float = 0.0
    shadow: RouteTarget | None = None
    shadow_share: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the caller wants of who answers, beside the requests."""

    space: str | None = None  # the only scale that he takes; None: any
    # Values that his dialect gives to fields of a request when he says nothing.
    assumed: Mapping[str, object] = field(default_factory=dict[str, object])


NO_WISH = Wish()


def upstream_space(dialect: str, name: str) -> str:
    """The space of a provider's model when the operator gives none."""
    return f"{dialect}/{name}"


def in_space(
    route: RoutedName, wish: Wish, space_of: Callable[[RouteTarget], str]
) -> tuple[RouteTarget, ...]:
    """The targets whose scores may be given out, as listed.

    Those of the space that the caller insists on; else those of the first target's; else all.

    Raises:
        SpaceUnavailable: no target has the one that the caller insists on.
    """
    if wish.space is not None:
        found = tuple(t for t in route.targets if space_of(t) == wish.space)
        if not found:
            raise space_unavailable(wish.space, (space_of(t) for t in route.targets))
        return found
    if route.spaces == "any":
        return route.targets
    wanted = space_of(route.targets[0])
    return tuple(t for t in route.targets if space_of(t) == wanted)


def in_space_of(routes: Iterable[RoutedName], upstream: str, model: str) -> tuple[RouteTarget, ...]:
    """The other targets of all routes that the operator put in one space with an upstream's model.

    The name of a model of this server stands for its space.
    """
    targets = [
        target
        for route in routes
        for target in (*route.targets, *((route.shadow,) if route.shadow else ()))
    ]
    spaces = {t.space for t in targets if (t.upstream, t.model) == (upstream, model)}
    found = {
        (t.upstream, t.model): t
        for t in targets
        if (t.upstream, t.model) != (upstream, model)
        and (t.space in spaces or (not t.upstream and t.model in spaces))
    }
    return tuple(found.values())


def left_out(route: RoutedName) -> Iterator[str]:
    """A sentence for each target that nobody gets who does not insist on its space."""
    first, *others = (target.space or target.model for target in route.targets)
    if route.spaces == "same":
        for place, space in enumerate(others, 1):
            if space != first:
                yield (
                    f'route."{route.name}".to[{place}]: answers in space {space!r}, not in '
                    f'{first!r} as to[0]: with spaces = "same" only callers get it who ask for '
                    "it with x-rerankd-space."
                )


def space_unavailable(wanted: str, there: Iterable[str]) -> SpaceUnavailable:
    """What a caller is told who insists on a scale that nobody here has."""
    return SpaceUnavailable(
        f"x-rerankd-space: nobody answers for this model in {wanted!r}. There is "
        f"{', '.join(repr(space) for space in dict.fromkeys(there))}."
    )


def ordered(
    targets: Sequence[RouteTarget],
    order: Order,
    *,
    latency_s: Callable[[RouteTarget], float | None],
    cost: Callable[[RouteTarget], int],
    random: Random,
) -> tuple[RouteTarget, ...]:
    """Who is asked first.

    Args:
        targets: as listed.
        order: "weighted": by lot, each time anew; "fastest": who answered fastest of late, those
            of whom nothing is known before them.
        latency_s: of a target; None = not known.
        cost: of the request at a target, for "cheapest"; of equal ones the first listed is first.
        random: for "weighted".
    """
    if order == "first":
        return tuple(targets)
    if order == "fastest":
        return tuple(sorted(targets, key=lambda target: latency_s(target) or 0.0))
    if order == "cheapest":
        return tuple(sorted(targets, key=cost))
    # Efraimidis and Spirakis: the largest of u^(1/w) is a draw by weight, without replacement.
    return tuple(
        sorted(targets, key=lambda target: random.random() ** (1 / target.weight), reverse=True)
    )
