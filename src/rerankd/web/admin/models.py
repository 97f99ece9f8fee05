"""/admin/v1/models: every model now, and loading and unloading one while the rest is served."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from rerankd.core.errors import ChangeRefused, StartError
from rerankd.core.facts import BackendFacts, Memory, ModelFacts
from rerankd.gateway.uses import uses_of
from rerankd.models import catalog, hub
from rerankd.web.admin.answers import AdminAnswer, AdminRefusal
from rerankd.web.admin.desk import Desk
from rerankd.web.admin.operation import Call, Operation

_WAIT_S: Final = 30.0
_LEAST_WAIT_S: Final = 0.05  # what is refused at once is told
_REFUSALS: Final = {"busy": 409, "no_room": 409, "unknown": 404, "not_possible": 501}


class ModelStates(msgspec.Struct, frozen=True, kw_only=True):
    """Every model of this server, default first, and what an operator needs to change them."""

    object: Literal["list"]
    data: list[ModelFacts]
    aliases: dict[str, str]  # name -> model
    used_by: dict[str, list[str]]  # model -> what needs it, as `route "x"`; none: not listed
    loadable: list[str]  # names of the catalog that are on this machine, and not served
    memory: Memory


class ModelChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which model, and how long to wait for it."""

    model: Annotated[str, Meta(min_length=1)]  # its own name, or an alias
    force: bool = False  # a load without room for it, an unload of what is in use
    wait_s: Annotated[float, Meta(ge=0, le=600)] = _WAIT_S  # then 202: it goes on


async def models(desk: Desk, _: Call) -> AdminAnswer:
    """Every model now."""
    facts = desk.state.backend.facts()
    names, routes = facts.names, desk.state.router.routes
    used = {each: list(uses_of(each, names, routes)) for each in names.models}
    answer = ModelStates(
        object="list",
        data=list(facts.models),
        aliases={name: root for name, root in names.shown().items() if name != root},
        used_by={name: uses for name, uses in used.items() if uses},
        loadable=await desk.run(_loadable, frozenset((*names.models, *names.aliases))),
        memory=facts.memory,
    )
    return AdminAnswer(content=msgspec.to_builtins(answer))


async def load(desk: Desk, call: Call) -> AdminAnswer:
    """Load one. Raises AdminRefusal."""
    asked: ModelChange = call.body
    backend = desk.state.backend
    return await _changed(desk, asked, backend.load_model(asked.model, force=asked.force))


async def unload(desk: Desk, call: Call) -> AdminAnswer:
    """Unload one that nothing else needs, or with force. Raises AdminRefusal."""
    asked: ModelChange = call.body
    backend = desk.state.backend
    model = _own_name(asked.model, backend.facts())
    uses = uses_of(model, backend.names, desk.state.router.routes)
    if uses and not asked.force and not backend.is_off(model):
        raise AdminRefusal(
            409,
            "in_use",
            f"{model} is used by {', '.join(uses)}. With force it is unloaded all the same: "
            "routes then ask their other targets, all else is answered 503 model_not_loaded.",
            param="model",
        )
    return await _changed(desk, asked, backend.unload_model(asked.model))


async def _changed(desk: Desk, asked: ModelChange, work: Coroutine[Any, Any, None]) -> AdminAnswer:
    """The model when it is done, or has begun."""
    try:
        is_done = await desk.begun(work, wait_s=max(asked.wait_s, _LEAST_WAIT_S))
    except ChangeRefused as error:
        kind = "not_found" if error.reason == "unknown" else error.reason
        status = _REFUSALS[error.reason]
        raise AdminRefusal(status, kind, str(error), param="model") from error
    except StartError as error:
        raise AdminRefusal(422, "model_failed", str(error), param="model") from error
    facts = desk.state.backend.facts()
    name = _own_name(asked.model, facts)
    (found,) = [each for each in facts.models if each.name == name] or [
        ModelFacts(name=name, root=name, is_awaited=False)  # its files are looked at
    ]
    return AdminAnswer(content=msgspec.to_builtins(found), status=200 if is_done else 202)


def _own_name(written: str, facts: BackendFacts) -> str:
    if facts.names.is_served(written):
        return facts.names.aliases.get(written, written)
    entry = catalog.find(written)
    return written if entry is None else entry.name


def _loadable(served: frozenset[str]) -> list[str]:
    """Looks into the hub's cache."""
    return [
        entry.name
        for entry in catalog.ENTRIES
        if entry.name not in served
        and (entry.is_here or (not entry.ships_inside and hub.has_folder_for(entry.name)))
    ]


OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/models",
        summary="Every model of this server and how it does now.",
        answer=ModelStates,
        run_here=models,
    ),
    Operation(
        method="POST",
        path="/models/load",
        summary="Load a model beside the rest, until a reload or restart. 202: it goes on.",
        body=ModelChange,
        answer=ModelFacts,
        may_go_on=True,
        run_here=load,
    ),
    Operation(
        method="POST",
        path="/models/unload",
        summary="Free a model's memory, until a reload or restart. 202: requests still run.",
        body=ModelChange,
        answer=ModelFacts,
        may_go_on=True,
        run_here=unload,
    ),
)
