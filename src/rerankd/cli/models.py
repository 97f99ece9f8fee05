"""`rerankd models` and `rerankd pull`."""

from __future__ import annotations

from rich.table import Table

from rerankd.cli.terminal import console
from rerankd.core.errors import StartError
from rerankd.models import catalog, hub


def models() -> None:
    """List the catalog: what can be served by name, and what is on this machine."""
    table = Table(box=None, pad_edge=False)
    for heading in ("model", "here", "window", "family", "about"):
        table.add_column(heading, no_wrap=heading != "about")
    for entry in catalog.ENTRIES:
        name = f"{entry.name} (default)" if entry.name == catalog.DEFAULT else entry.name
        window = str(entry.window_tokens or "none")
        table.add_row(name, _presence(entry), window, entry.family, entry.about)
    out = console()
    out.print(table)
    out.print("\nyes: weights are here. no: `rerankd pull NAME`, or give a folder to --model.")


def pull(name: str, /) -> None:
    """Download a model's weights into the local Hugging Face cache.

    Parameters
    ----------
    name
        A catalog name, or owner/name of any cross-encoder of a family that rerankd serves.
    """
    entry = catalog.find(name)
    if entry is not None and entry.ships_inside:
        print(f"{entry.name} ships with rerankd: nothing to download.")
        return
    repository = entry.name if entry else name
    folder = hub.pull(repository)
    print(f"{repository} is in {folder}")
    if entry is not None and entry.needs_torch:
        print(f"It runs on torch: {catalog.TORCH}")
    print(f"Serve it: rerankd serve --model {repository}")


def _presence(entry: catalog.Entry) -> str:
    if entry.ships_inside:
        return "yes"
    try:
        hub.cached_folder(entry.name)
    except StartError:
        return "no"
    return "yes"
