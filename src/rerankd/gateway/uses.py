"""What needs a model of this server to be loaded: stages, routes, requests without a name. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rerankd.core.names import Names
from rerankd.gateway.targets import LEXICAL, RoutedName


def uses_of(model: str, names: Names, routes: Mapping[str, RoutedName]) -> tuple[str, ...]:
    """One phrase for each use, as `route "x"`; other names of the model are no use of it.

    Args:
        model: by its own name.
        names: of this server.
        routes: by the names that they answer.
    """
    return (
        *_as_default(model, names, routes),
        *_as_stage(model, names),
        *_in(model, names, routes),
    )


def _as_default(model: str, names: Names, routes: Mapping[str, RoutedName]) -> Iterator[str]:
    if names.models[:1] == (model,) and model not in routes:
        yield "requests that name no model"


def _as_stage(model: str, names: Names) -> Iterator[str]:
    for name, cascade in names.cascades.items():
        if cascade is not None and cascade.first == model:
            yield f'stages of "{name}"'


def _in(model: str, names: Names, routes: Mapping[str, RoutedName]) -> Iterator[str]:
    for route in routes.values():
        targets = (*route.targets, *(() if route.shadow is None else (route.shadow,)))
        is_used = model == LEXICAL == route.when_all_fail
        for target in targets:
            first = None if target.first is None else target.first.first
            is_here = not target.upstream and names.find(target.model) == model
            is_used = is_used or is_here or first == model
        if is_used:
            yield f'route "{route.name}"'
