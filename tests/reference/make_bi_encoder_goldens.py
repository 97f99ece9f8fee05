"""Golden vectors of the tiny embedding models, by sentence-transformers in fp32.

`python -m tests.reference.make_bi_encoder_goldens` writes golden-bi-encoder.json (needs torch 2.13,
transformers 5.24 and sentence-transformers 6.2). One by one, and nothing here uses rerankd. Of each
vector 8 numbers are kept, and what all of them add up to with fixed weights.
"""

from __future__ import annotations

import importlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.checkpoints.bi_encoder import GOLDEN_SHAPES, write
from tests.reference.make_goldens import pairs

GOLDEN = Path(__file__).parent / "golden-bi-encoder.json"
KEPT = 8
Floats = npt.NDArray[np.float32]


class BiEncoderReference:
    """A folder as sentence-transformers loads it."""

    def __init__(self, folder: Path) -> None:
        torch: Any = importlib.import_module("torch")
        library: Any = importlib.import_module("sentence_transformers")
        torch.set_grad_enabled(False)
        self.model: Any = library.SentenceTransformer(
            str(folder), device="cpu", local_files_only=True
        )

    def plain(self, texts: Sequence[str]) -> Floats:
        """encode() of each, one by one, (N, d): with the default prompt."""
        return np.stack([self.model.encode(text) for text in texts])

    def named(self, texts: Sequence[str], prompt: str) -> Floats:
        """As plain(), with one of the prompts."""
        return np.stack([self.model.encode(text, prompt_name=prompt) for text in texts])

    def queries(self, texts: Sequence[str]) -> Floats:
        """encode_query() of each, one by one, (N, d)."""
        return np.stack([self.model.encode_query(text) for text in texts])


def texts() -> list[str]:
    """320 texts: queries and documents of the pairs, long ones, blanks, other scripts."""
    found = [pair["query"] for pair in pairs()[:160]] + [pair["document"] for pair in pairs()[:152]]
    odd = [
        " ",
        "a",
        "  Upper CASE  ",
        "\n\nlines\n",
        "é ü ß",
        "...",
        "word " * 700,
        "量子计算" * 90,
    ]
    return found + odd


def kept(vectors: Floats) -> list[list[float]]:
    """What a golden file holds of each vector, (N, KEPT + 1)."""
    weights = np.cos(np.arange(vectors.shape[1], dtype=np.float64))
    whole = vectors.astype(np.float64) @ weights
    few = np.hstack([vectors[:, :KEPT].astype(np.float64), whole[:, None]])
    return [[round(float(value), 7) for value in row] for row in few]


def main() -> None:
    """Write golden-bi-encoder.json."""
    found: dict[str, dict[str, list[list[float]]]] = {}
    for name, shape in GOLDEN_SHAPES.items():
        with tempfile.TemporaryDirectory() as folder:
            reference = BiEncoderReference(write(Path(folder) / name, shape))
            found[name] = {
                "plain": kept(reference.plain(texts()[::4])),
                "query": kept(reference.queries(texts()[::16])),
            }
    GOLDEN.write_text(json.dumps(found) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
