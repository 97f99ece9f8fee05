"""docs/catalog.md: every model of the catalog, and how it was proven.

`python -m tests.reference.catalog_page` writes the page's table again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rerankd.measure.proofs import proof_of, recipe_of
from rerankd.models.catalog import ENTRIES

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "catalog.md"
START, END = "<!-- made by tests/reference/catalog_page.py -->", "<!-- end -->"


def _link(path: str) -> str:
    name = Path(path).stem.removeprefix("test_live_").removeprefix("golden-").removeprefix("test_")
    return f"[{name}](../{path})" if path else "–"


def _lines() -> Iterator[str]:
    yield "| model | recipe | score | loads | golden | live | published | real weights seen |"
    yield "|---|---|---|---|---|---|---|---|"
    for entry in ENTRIES:
        proof = proof_of(entry)
        cells = [
            entry.name,
            recipe_of(entry),
            entry.activation.name,
            *map(_link, (proof.loads, proof.golden, proof.live)),
            str(proof.published or "–"),
            "yes" if proof.real_weights else "no",
        ]
        yield f"| {' | '.join(cells)} |"


def page(text: str) -> str:
    """The page with the table as it is now."""
    before, _, rest = text.partition(START)
    table = "\n".join(_lines())
    return f"{before}{START}\n\n{table}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
