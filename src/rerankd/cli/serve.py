"""`rerankd serve`: nothing here is imported that a server can do without before it is ready."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rerankd import __version__
from rerankd.cli.flags import Read
from rerankd.cli.lean import hidden
from rerankd.core.trial import summary
from rerankd.models import catalog
from rerankd.models.ahead import Ahead
from rerankd.models.load import load, resolve
from rerankd.models.shipped import SHIPPED
from rerankd.settings.schema import Settings

if TYPE_CHECKING:
    from rerankd.web.state import State


def serve(read: Read) -> None:
    """Serve POST /v1/rerank until SIGTERM or Ctrl-C."""
    begun = _begun(read().settings)
    with hidden("rich"):  # structlog would have it print tracebacks: ours go through its own code
        from rerankd.web.server import serve as run_server  # here: it imports structlog

    run_server(read, _announce, load=load if begun is None else begun.load)


def _begun(settings: Settings) -> Ahead | None:
    """The default model, if this process serves it and it ships inside: begun before the server."""
    if settings.server.workers:
        return None
    entry = catalog.find((*settings.models, catalog.DEFAULT)[0])
    if entry is None or not entry.ships_inside:
        return None
    spec = replace(
        resolve(entry.name),
        vector_cache_bytes=settings.limits.vector_cache_bytes,
        graph_cache=settings.graphs.cache(__version__),
    )
    return Ahead(spec)


def _announce(state: State, url: str) -> None:
    """What is served, where, with which engine, and whether keys are on."""
    facts = state.backend.facts()
    rows: list[tuple[str, ...]] = []
    for position, model in enumerate(facts.models):
        default = " (default)" if position == 0 else ""
        runs = f"{model.engine} {model.device} {model.precision}"
        rows.append(("model", f"{model.name}{default}", runs))
        rows += [("", sentence) for sentence in summary(model.precision_trials)]
        rows += [("", _yellow(f"warning: {warning}")) for warning in model.warnings]
    if facts.models[0].name == "rerankd-mini" and not SHIPPED["rerankd-multi"].is_here:
        rows.append(("", "for other languages than English", SHIPPED["rerankd-multi"].install))
    for served_as, target in facts.names.aliases.items():
        rows.append(("alias", served_as, f"-> {target}"))
    for served_as, cascade in facts.names.cascades.items():
        said = "no first stage" if cascade is None else f"best {cascade.keep} by {cascade.first}"
        rows.append(("stages", served_as, said))
    for route in state.router.routes.values():
        rows.append(("route", route.name, ", ".join(target.label for target in route.targets)))
    keys = "none: open to this machine only" if state.keys.is_open else f"{len(state.keys)} on"
    rows += [("keys", keys), ("docs", f"{url}/docs")]
    print(f"rerankd {__version__} on {url}", *columns(rows), sep="\n", flush=True)


def columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows of cells as lines: a column is as wide as its widest cell that another one follows."""
    widths: dict[int, int] = {}
    for row in rows:
        for i, cell in enumerate(row[:-1]):
            widths[i] = max(widths.get(i, 0), len(cell))
    return [
        "  ".join([*(cell.ljust(widths[i]) for i, cell in enumerate(row[:-1])), row[-1]])
        for row in rows
    ]


def _yellow(text: str) -> str:
    """Text that stands out, on a terminal."""
    shown = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    return f"\x1b[33m{text}\x1b[0m" if shown else text
