"""Which model answers a requested name, and what is said when none does. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from rerankd.core.errors import UnknownModel
from rerankd.core.names import Names
from rerankd.models import catalog

_SHOWN_NAME = 100  # characters of an unknown name that an error repeats


def answering(names: Names, name: str | None, routed: Iterable[str] = ()) -> str:
    """The own name of the model that answers a requested name; None = the default.

    `routed`: names that others answer, for the message.

    Raises:
        UnknownModel: nothing of that name is served; the message lists what is, and the commands
            that get a catalog model.
    """
    found = names.find(name)
    if found is not None:
        return found
    asked = name or ""
    shown = asked if len(asked) <= _SHOWN_NAME else f"{asked[:_SHOWN_NAME]}…"
    served = ", ".join(dict.fromkeys((*names.models, *names.aliases, *routed)))
    way_out = catalog.how_to_get(asked) or (
        "`rerankd models` lists the catalog; "
        f"`rerankd serve --alias {shown}={names.models[0]}` answers for this name."
    )
    raise UnknownModel(f"model: {shown!r} is not served here. Served: {served}. {way_out}")
