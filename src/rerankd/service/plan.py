"""What the operator wants served, resolved and checked: which models, under which names. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite

from rerankd.core.cascade import Cascade, parse_stages
from rerankd.core.errors import StartError
from rerankd.core.names import Names
from rerankd.core.options import LoadOptions
from rerankd.models import catalog
from rerankd.models.load import Spec, resolve
from rerankd.models.shipped import SHIPPED


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingPlan:
    """What is to be served, resolved and checked for clashes; nothing loaded yet."""

    specs: tuple[Spec, ...]  # the first is the default
    aliases: Mapping[str, str]  # served name -> name of a spec
    # served name -> what stands before its model; None = nothing, whatever the model has
    cascades: Mapping[str, Cascade | None] = field(default_factory=dict[str, Cascade | None])
    floors: Mapping[str, float] = field(default_factory=dict[str, float])  # name of a spec -> score

    def names(self) -> Names:
        """Who will answer what."""
        return Names(
            models=tuple(spec.name for spec in self.specs),
            folders=frozenset(spec.name for spec in self.specs if spec.folder is not None),
            aliases=self.aliases,
            cascades=self.cascades,
        )


def plan(
    models: Sequence[str],
    aliases: Mapping[str, str],
    options: Mapping[str, LoadOptions],
    stages: Mapping[str, Sequence[str]] | None = None,
    floors: Mapping[str, float] | None = None,
) -> ServingPlan:
    """Resolve what the operator wrote.

    Args:
        models: catalog names or folders; empty = the catalog's default. What is to stay served
            beside one of them is added.
        aliases: served name -> model; a catalog model that ships inside and is only named by an
            alias is served as well.
        options: model name, as written or as served -> what the operator chose for it.
        stages: model name, as written or as served, or alias -> its stages; a first stage is
            served as well.
        floors: model name, as written or as served -> relevance_score to keep from.

    Raises:
        StartError: a model cannot be found, two have one name, an alias points nowhere, stages
            do not end with the model that answers their name, or a floor is of no model.
    """
    specs: dict[str, Spec] = {}
    as_written: dict[str, str] = {}
    unused = set(options)
    for written in models or (catalog.DEFAULT,):
        spec = resolve(written)
        unused -= {written, spec.name}
        chosen = options.get(written) or options.get(spec.name)
        if chosen is not None:
            spec = resolve(written, chosen)
        as_written[written] = spec.name
        if specs.setdefault(spec.name, spec) != spec:
            raise StartError(
                f"--model {written}: a model named {spec.name} is served already. Give one of them "
                f"another name: --model NAME={written}"
            )
    for name in tuple(specs):
        beside = SHIPPED[name].beside if name in SHIPPED else ()
        specs |= {other: resolve(other) for other in beside if other not in specs}
    if unused:
        raise StartError(
            f"model.{min(unused)}: no such model is served; served are {', '.join(specs)}."
        )
    names = {name: spec.name for spec in specs.values() for name in (*spec.aliases, spec.name)}
    for served, target in aliases.items():
        entry = catalog.find(target)
        if target not in names and entry is not None and entry.ships_inside:
            specs[target] = resolve(target)
            names[target] = target
        if target not in names:
            raise StartError(
                f"--alias {served}={target}: {target} is not served. Add `--model {target}`; "
                f"served are {', '.join(specs)}."
            )
        if served in specs:
            raise StartError(f"--alias {served}={target}: a model of that name is served already.")
    served_names = {**names, **{served: names[target] for served, target in aliases.items()}}
    cascades = _cascades(stages or {}, served_names, as_written)
    specs |= {n: resolve(n) for n in _first_stages(cascades, served_names) if n not in specs}
    return ServingPlan(
        specs=tuple(specs.values()),
        aliases={name: spec for name, spec in served_names.items() if name not in specs},
        cascades=cascades,
        floors=_floors(floors or {}, specs, as_written),
    )


def _floors(
    floors: Mapping[str, float], specs: Mapping[str, Spec], as_written: Mapping[str, str]
) -> dict[str, float]:
    """Floors by the names of models. Raises StartError."""
    found: dict[str, float] = {}
    for written, floor in floors.items():
        name = as_written.get(written, written)
        if name not in specs:
            raise StartError(
                f'model."{written}".floor: a floor is of a model, not of another name for it; '
                f"served are {', '.join(specs)}."
            )
        if not isfinite(floor):
            raise StartError(f'model."{written}".floor: {floor} is no score.')
        if found.setdefault(name, floor) != floor:
            raise StartError(f'model."{written}".floor: {name} has another floor already.')
    return found


def _cascades(
    stages: Mapping[str, Sequence[str]],
    served: Mapping[str, str],
    as_written: Mapping[str, str],
) -> dict[str, Cascade | None]:
    """Stages by served name, checked against who answers that name. Raises StartError."""
    cascades: dict[str, Cascade | None] = {}
    for written, listed in stages.items():
        name = written if written in served else as_written.get(written)
        if name is None:
            raise StartError(
                f'model."{written}".stages: no such model or alias is served; served are '
                f"{', '.join(served)}."
            )
        cascade, last = parse_stages(written, listed)
        answers = served[name]
        if served.get(last, as_written.get(last)) != answers:
            raise StartError(
                f'model."{written}".stages: {written} is answered by {answers}, so its last stage '
                f"is {answers}, not {last}."
            )
        if cascades.setdefault(name, cascade) != cascade:
            raise StartError(f'model."{written}".stages: {name} has other stages already.')
    return cascades


def _first_stages(cascades: Mapping[str, Cascade | None], served: Mapping[str, str]) -> set[str]:
    """The models that stand before others. Raises StartError."""
    first = {cascade.first for cascade in cascades.values() if cascade is not None}
    for name in first:
        if served.get(name, name) != name:
            raise StartError(
                f"aliases: {name} is a first stage (stages), so it cannot be a name of "
                f"{served[name]}."
            )
    return first
