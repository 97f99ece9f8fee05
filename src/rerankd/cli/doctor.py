"""`rerankd doctor`."""

from __future__ import annotations

import time

from rich.table import Table
from rich.text import Text

from rerankd.cli.options import model_spec
from rerankd.cli.terminal import console
from rerankd.core.trial import summary
from rerankd.models import catalog
from rerankd.models.load import load
from rerankd.models.published import Checked


def doctor(model: str = catalog.DEFAULT, /) -> None:
    """Load a model as the server would and check its scores; status 1 when it must not be served.

    Parameters
    ----------
    model
        Catalog name or checkpoint folder, with settings if need be: NAME,precision=int8.
        Default: rerankd-multi where it is installed, else rerankd-mini.
    """
    spec = model_spec(model, "rerankd doctor")
    started = time.perf_counter()
    loaded = load(spec)
    seconds = time.perf_counter() - started
    card, info = loaded.model.card, loaded.model.engine.info
    loaded.model.engine.close()
    table = Table.grid(padding=(0, 2))
    for name, value in (
        ("model", card.name),
        ("from", str(spec.folder or "ships with rerankd")),
        ("family", card.family.name),
        ("window", f"{card.window_tokens} tokens" if card.window_tokens else "none"),
        ("score", card.score),
        ("engine", f"{info.name} {info.device} {info.precision}"),
        ("loaded in", f"{seconds:.1f} s, self-check included"),
        ("checked", "finite, not constant, not saturated, independent of batch and order"),
    ):
        table.add_row(name, value)
    for sentence in summary(loaded.trials):
        table.add_row("precision", Text(sentence))
    for checked in loaded.examples:
        table.add_row("published", Text(_example(checked, info.precision)))
    if not loaded.examples:
        table.add_row("published", "no scores of its model card are known")
    for warning in loaded.warnings:
        table.add_row("warning", Text(warning, style="yellow"))
    if not loaded.warnings:
        table.add_row("relevance", "relevant documents score above irrelevant ones")
    console().print(table)


def _example(checked: Checked, precision: str) -> str:
    """What the model card prints for a pair, and what comes out here."""
    example = checked.example
    score = "cut by the window, not checked" if checked.score is None else f"{checked.score:.4f}"
    return (
        f"{score} ({example.scale}; {example.score:.4f} ± {example.allowed(precision):g} by "
        f"{example.source}) {example.query!r} / {example.document!r}"
    )
