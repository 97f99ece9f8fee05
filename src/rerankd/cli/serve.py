"""`rerankd serve`."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from rerankd import __version__
from rerankd.cli.flags import Read, flag_help, reads_settings
from rerankd.cli.terminal import console
from rerankd.models.shipped import SHIPPED
from rerankd.web.server import serve as run_server
from rerankd.web.state import State


@reads_settings(
    config="TOML file, see `rerankd config`. SIGHUP reads it again: keys and models change.",
    says=flag_help,
)
def serve(read: Read) -> None:
    """Serve POST /v1/rerank until SIGTERM or Ctrl-C."""
    run_server(read, _announce)


def _announce(state: State, url: str) -> None:
    """What is served, where, with which engine, and whether keys are on."""
    facts = state.backend.facts()
    table = Table.grid(padding=(0, 2))
    for position, model in enumerate(facts.models):
        default = " (default)" if position == 0 else ""
        runs = f"{model.engine} {model.device} {model.precision}"
        table.add_row("model", f"{model.name}{default}", runs)
        for warning in model.warnings:
            table.add_row("", Text(f"warning: {warning}", style="yellow"))
    if facts.models[0].name == "rerankd-mini" and not SHIPPED["rerankd-multi"].is_here:
        table.add_row("", "for other languages than English", SHIPPED["rerankd-multi"].install)
    for served_as, target in facts.names.aliases.items():
        table.add_row("alias", served_as, f"-> {target}")
    for served_as, cascade in facts.names.cascades.items():
        said = "no first stage" if cascade is None else f"best {cascade.keep} by {cascade.first}"
        table.add_row("stages", served_as, said)
    for route in state.router.routes.values():
        table.add_row("route", route.name, ", ".join(target.label for target in route.targets))
    keys = "none: open to this machine only" if state.keys.is_open else f"{len(state.keys)} on"
    table.add_row("keys", keys)
    table.add_row("docs", f"{url}/docs")
    out = console()
    out.print(f"rerankd {__version__} on {url}")
    out.print(table)
    out.file.flush()
