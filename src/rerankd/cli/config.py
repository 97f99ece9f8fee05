"""`rerankd config`."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from rerankd.cli.options import AliasFlag, ModelFlag, effective
from rerankd.cli.terminal import console
from rerankd.settings import dotted


def config(
    *,
    config: Path | None = None,
    host: str | None = None,
    port: int | None = None,
    model: ModelFlag = None,
    alias: AliasFlag = None,
) -> None:
    """Show the settings in force and where each one comes from. Keys are never shown.

    Parameters
    ----------
    config
        TOML file, as for `rerankd serve`.
    host
        As for `rerankd serve`.
    port
        As for `rerankd serve`.
    model
        As for `rerankd serve`.
    alias
        As for `rerankd serve`.
    """
    found = effective(config=config, host=host, port=port, model=model, alias=alias)
    table = Table(box=None, pad_edge=False)
    for heading in ("setting", "value", "from"):
        table.add_column(heading, overflow="fold")
    for name, value in dotted(found.settings):
        parent = name.split(".")[0]
        source = found.sources.get(name) or found.sources.get(parent)
        inner = [source for path, source in found.sources.items() if path.startswith(f"{name}.")]
        source = ", ".join(dict.fromkeys([*([source] if source else []), *inner])) or "default"
        table.add_row(name, str(value), source)
    console().print(table)
