"""Golden logits of the tiny ModernBERTs, and of jina's chunks, by torch and transformers in fp32.

`python -m tests.reference.make_modernbert_goldens` writes golden-modernbert.json (needs torch 2.13
and transformers 5.23). As make_goldens: one by one, and nothing here uses rerankd.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TypedDict

from tests.checkpoints import bert
from tests.checkpoints.bert import TINY_JINA
from tests.checkpoints.modernbert import GOLDEN_SHAPES, write
from tests.reference.make_goldens import Golden, Reference, golden, long_documents, save

GOLDEN = Path(__file__).parent / "golden-modernbert.json"


class Goldens(TypedDict):
    """What golden-modernbert.json holds."""

    shapes: dict[str, Golden]  # by name of the shape
    jina: list[list[list[float]]]  # as Golden's chunks, by jina's rule; plain names, same numbers


def jina_chunks(folder: Path) -> list[list[list[float]]]:
    """Logits of every long document's chunks, the last right-aligned, of a plain TINY_JINA."""
    reference = Reference(bert.write(folder, TINY_JINA))
    return [reference.chunks(item, right_align_last=True) for item in long_documents()]


def main() -> None:
    """Write golden-modernbert.json."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found: Goldens = {
            "shapes": {
                shape: golden(write(folder / shape, GOLDEN_SHAPES[shape]))
                for shape in GOLDEN_SHAPES
            },
            "jina": jina_chunks(folder / "jina"),
        }
    save(GOLDEN, found)


if __name__ == "__main__":
    main()
