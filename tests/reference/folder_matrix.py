"""docs/folders.md: what each reader makes of a key, from the recorded answers and from ours.

`python -m tests.reference.folder_matrix` writes the page's tables again.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from rerankd.core.errors import StartError
from rerankd.core.request import Content, RerankRequest
from rerankd.models.cross_encoder import CrossEncoder
from rerankd.models.load import Spec, load
from tests.reference.folder_cases import CASES, PAIRS
from tests.reference.make_folder_goldens import GOLDEN

PAGE: Final = Path(__file__).parents[2] / "docs" / "folders.md"
FOUR, FIVE, ST = "transformers 4.57.6", "transformers 5.24.0", "sentence-transformers 6.2.0"
OURS: Final = "rerankd"
READERS: Final = (FOUR, FIVE, ST, OURS)
SHORT: Final = 2  # pairs that every window of the cases holds; longer texts are read in chunks
START, END = "<!-- made by tests/reference/folder_matrix.py -->", "<!-- end -->"
Json = dict[str, Any]
GOLDENS: Final[Mapping[str, Mapping[str, list[Json]]]] = json.loads(GOLDEN.read_text("utf-8"))


@cache
def our_answer(name: str, *, changed: bool) -> Json:
    """As a reader's in golden-folders.json: relevance as `scores`, the engine's as `logits`."""
    with tempfile.TemporaryDirectory() as made:
        folder = CASES[name].write(Path(made) / "folder", changed=changed)
        try:
            model: Any = load(Spec(name="mine", folder=folder)).model
        except StartError as error:
            return {"error": "refused", "says": str(error).replace(f"{folder}/", "")}
    try:
        rows = [
            model.prepare(
                RerankRequest(query=Content(value=query), documents=(Content(value=document),))
            ).rows[0]
            for query, document in PAIRS[:SHORT]
        ]
        if not isinstance(model, CrossEncoder):
            return {"ids": [row.ids.tolist() for row in rows]}
        logits = model.engine.forward(rows)
        scores = [[model.relevance(each)] for each in model.logit(logits).tolist()]
        return {"scores": scores, "logits": logits.tolist(), "window": model.card.window_tokens}
    finally:
        model.engine.close()


def answers(reader: str, name: str) -> tuple[Json, Json]:
    """Of the folder without the change, and with it."""
    if reader == OURS:
        return our_answer(name, changed=False), our_answer(name, changed=True)
    without, changed = GOLDENS[reader][name]
    return without, changed


def cell(reader: str, name: str) -> str:
    """What the page says of one reader and key."""
    without, changed = answers(reader, name)
    if "error" in changed:
        return "refused" if reader == OURS else f"fails ({changed['error']})"
    kind = "ids" if "ids" in changed else "scores"
    said: list[str] = []
    if changed.get("window") != without.get("window"):
        said.append(f"window {changed['window']}")
    if not near(without.get(kind, [])[:SHORT], changed.get(kind, [])[:SHORT]):
        said.append("read" if kind == "ids" else "scores")
    elif not said and not near(without.get(kind, []), changed.get(kind, [])):
        said.append("where it cuts")
    return ", ".join(said) or "–"


def near(ours: object, theirs: object, within: float = 2e-6) -> bool:
    """Whether rows of numbers are of one shape and equal, up to rounding."""
    one, other = (cast("list[list[float]]", rows) for rows in (ours, theirs))
    if [len(row) for row in one] != [len(row) for row in other]:
        return False
    flat = [np.asarray([x for row in rows for x in row], np.float64) for rows in (one, other)]
    return bool(np.allclose(*flat, rtol=0, atol=within))


def tables() -> str:
    """A table for each file."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    for file, names in groupby(CASES, key=lambda name: CASES[name].file):
        yield f"\n### {file}\n"
        yield f"| key | {' | '.join(READERS)} |"
        yield "|---" * (len(READERS) + 1) + "|"
        for name in names:
            key = re.sub(r"([|<>])", r"\\\1", CASES[name].key)
            yield f"| {key} | {' | '.join(cell(reader, name) for reader in READERS)} |"


def page(text: str) -> str:
    """The page with the tables as they are now."""
    before, _, rest = text.partition(START)
    return f"{before}{START}\n{tables()}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
