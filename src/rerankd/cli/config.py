"""`rerankd config`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from rerankd.cli.flags import Read
from rerankd.cli.parameters import parameter, reads_settings
from rerankd.cli.terminal import console
from rerankd.settings.load import load
from rerankd.settings.reference import dotted
from rerankd.settings.schema import Settings
from rerankd.web.assemble import gateway_of, plan_of, sign_in_of
from rerankd.web.control import ServerReport, is_possible, running
from rerankd.web.exposure import check_exposure
from rerankd.web.prices import written_prices
from rerankd.web.reload import needs_restart, unserved

_KEYS_MISSING = 3  # status of --check --without-keys


@reads_settings(
    config="TOML file, as for `rerankd serve`.",
    says=lambda _: "As for `rerankd serve`.",
    config_first=True,
    more=[
        parameter(
            "check", Path, Parameter(help="Say whether `rerankd serve` would take this TOML file.")
        ),
        parameter(
            "without_keys",
            bool,
            Parameter(help="With --check: upstreams' keys need not be here.", negative=()),
        ),
    ],
)
def config(read: Read, *, check: Path | None = None, without_keys: bool | None = None) -> None:
    """Show the settings in force and where each one comes from. Keys are never shown.

    Then what running servers of this user have otherwise: a change needs SIGHUP or a restart.
    With --check only a file is read: status 0 when a server would take it, else 1 and why. With
    --without-keys too, variables and files of upstreams' keys that are not here are warnings, and
    the status is 3 when nothing else is wrong.
    """
    if check is not None:
        _check(check, needs_keys=not without_keys)
        return
    found = read()
    table = _table("setting", "value", "from")
    for name, value in dotted(found.settings):
        parent = name.split(".")[0]
        source = found.sources.get(name) or found.sources.get(parent)
        inner = [source for path, source in found.sources.items() if path.startswith(f"{name}.")]
        source = ", ".join(dict.fromkeys([*([source] if source else []), *inner])) or "default"
        table.add_row(name, str(value), source)
    out = console()
    out.print(table)
    reports = list(running())
    if not reports:
        found_none = "No server of this user runs here."
        out.print(
            f"\n{found_none if is_possible() else 'Running servers are found on Linux only.'}"
        )
    for report in reports:
        _compare(out, report, found.settings)


def _check(file: Path, *, needs_keys: bool) -> None:
    """Say what a file would serve. Raises StartError: no server would take it."""
    settings = load(file, os.environ, {}).settings
    wanted = plan_of(settings)
    gateway = gateway_of(settings, wanted, needs_keys=needs_keys)
    written_prices(settings)
    if (oidc := sign_in_of(settings, needs_secret=needs_keys)) is not None:
        oidc.close()
    routes = gateway.routes
    sentences = (
        *gateway.missing(),
        *gateway.warnings(),
        *check_exposure(
            settings.server.host, settings.keys, has_stored=settings.store.url is not None
        ),
        *unserved(settings.keys, {*(spec.name for spec in wanted.specs), *wanted.aliases, *routes}),
    )
    for sentence in sentences:
        print(f"warning: {sentence}")
    counts = (
        f"{len(wanted.specs)} models, {len(settings.upstream)} upstreams, {len(routes)} routes, "
        f"{len(settings.keys)} keys"
    )
    print(f"{file}: good{', but for keys that are not here' * bool(gateway.missing())}; {counts}.")
    if gateway.missing():
        sys.exit(_KEYS_MISSING)


def _compare(out: Console, report: ServerReport, here: Settings) -> None:
    """What a running server has otherwise, and how it would take it over."""
    file = f", {report.file}" if report.file else ""
    who = f"\nRunning: {report.url} (process {report.pid}, since {report.started}{file})"
    theirs = dict(report.settings)
    ours = msgspec.json.decode(msgspec.json.encode(dict(dotted(here))), type=dict[str, object])
    names = [n for n in {**ours, **theirs} if ours.get(n) != theirs.get(n)]
    if not names:
        out.print(f"{who} has these settings; keys were compared by name and limits.")
        return
    out.print(f"{who} has others:")
    table = _table("setting", "running", "above", "taken over by")
    for name in names:
        how = "a restart" if needs_restart(name) else "SIGHUP"
        table.add_row(name, str(theirs.get(name, "-")), str(ours.get(name, "-")), how)
    out.print(table)


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
