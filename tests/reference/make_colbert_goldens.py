"""Golden MaxSim of the tiny ColBERT folders, by sentence-transformers' MultiVectorEncoder in fp32.

`python -m tests.reference.make_colbert_goldens` writes golden-colbert.json (needs torch 2.13,
transformers 5.24 and sentence-transformers 6.2). One by one, and nothing here uses rerankd.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.checkpoints.colbert import GOLDEN_SHAPES, write
from tests.reference.make_goldens import Pair, pairs, save

GOLDEN = Path(__file__).parent / "golden-colbert.json"


class ColbertReference:
    """A folder as sentence-transformers loads it."""

    def __init__(self, folder: Path) -> None:
        torch: Any = importlib.import_module("torch")
        library: Any = importlib.import_module("sentence_transformers")
        torch.set_grad_enabled(False)
        self._model: Any = library.MultiVectorEncoder(
            str(folder), device="cpu", local_files_only=True
        )

    def pair(self, query: str, document: str) -> float:
        """MaxSim of one pair."""
        asked = self._model.encode_query(query)
        read = self._model.encode_document(document)
        return float(self._model.similarity(asked, read)[0][0])

    def pairs(self, wanted: Sequence[Pair]) -> list[float]:
        """pair() of each, (N,)."""
        return [self.pair(pair["query"], pair["document"]) for pair in wanted]


def main() -> None:
    """Write golden-colbert.json."""
    found: dict[str, list[float]] = {}
    for name, shape in GOLDEN_SHAPES.items():
        with tempfile.TemporaryDirectory() as folder:
            reference = ColbertReference(write(Path(folder) / name, shape))
            found[name] = reference.pairs(pairs())
    save(GOLDEN, found)


if __name__ == "__main__":
    main()
