"""Golden logits of cross-encoders of modules, by sentence-transformers in fp32.

`python -m tests.reference.make_module_head_goldens` writes golden-module-head.json (needs torch
2.13, transformers 5.24 and sentence-transformers 6.2). As make_goldens: one by one, and nothing
here uses rerankd.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

from tests.checkpoints.module_head import GOLDEN_SHAPES, write
from tests.reference.make_goldens import (
    Golden,
    LongDocument,
    Pair,
    long_documents,
    long_pairs,
    pairs,
    save,
)

GOLDEN = Path(__file__).parent / "golden-module-head.json"
ACTIVATED = 20  # pairs whose scores are kept, after the folder's own activation


class ModuleGolden(TypedDict):
    """What is kept of a shape."""

    logits: Golden
    scores: list[list[float]]  # of the first pairs, K each


class CrossEncoderReference:
    """sentence-transformers' CrossEncoder of one folder."""

    def __init__(self, folder: Path) -> None:
        self._torch: Any = importlib.import_module("torch")
        library: Any = importlib.import_module("sentence_transformers")
        self._torch.set_grad_enabled(False)
        self.model: Any = library.CrossEncoder(str(folder), device="cpu", local_files_only=True)
        self.model.float().eval()

    def pair(self, query: str, document: str, *, activated: bool = False) -> list[float]:
        """Logits (K,) of one pair, or its scores after the folder's own activation."""
        chosen = {} if activated else {"activation_fn": self._torch.nn.Identity()}
        scores = self.model.predict([(query, document)], show_progress_bar=False, **chosen)
        return scores.reshape(-1).tolist()

    def pairs(self, wanted: Sequence[Pair], *, activated: bool = False) -> list[list[float]]:
        """pair() of each, (N, K)."""
        return [self.pair(pair["query"], pair["document"], activated=activated) for pair in wanted]

    def chunks(self, item: LongDocument) -> list[list[float]]:
        """Logits (C, K) of a document's chunks, sliced and joined by hand, each alone."""
        tokenizer: Any = self.model.tokenizer
        plain = {"add_special_tokens": False, "truncation": False}
        query = tokenizer(item["query"], **plain)["input_ids"]
        document = tokenizer(item["document"], **plain)["input_ids"]
        sep = tokenizer.sep_token_id
        head = [tokenizer.cls_token_id, *query, sep]
        room = item["window_tokens"] - len(head) - 1
        overlap = min(item["overlap_tokens"], room // 4)
        found: list[list[float]] = []
        start = 0
        while True:
            tail = [*document[start : start + room], sep]
            features = {
                "input_ids": self._torch.tensor([head + tail]),
                "attention_mask": self._torch.ones(1, len(head + tail), dtype=self._torch.int64),
            }
            if "token_type_ids" in tokenizer.model_input_names:
                types = [0] * len(head) + [1] * len(tail)
                features["token_type_ids"] = self._torch.tensor([types])
            found.append(self.model(features)["scores"][0].tolist())
            if start + room >= len(document):
                return found
            start += room - overlap


def golden(folder: Path) -> ModuleGolden:
    """All that is kept of one folder."""
    reference = CrossEncoderReference(folder)
    return {
        "logits": {
            "pairs": reference.pairs(pairs()),
            "long": reference.pairs(long_pairs()),
            "chunks": [reference.chunks(item) for item in long_documents()],
        },
        "scores": reference.pairs(pairs()[:ACTIVATED], activated=True),
    }


def main() -> None:
    """Write golden-module-head.json."""
    found: dict[str, ModuleGolden] = {}
    for name, shape in GOLDEN_SHAPES.items():
        with tempfile.TemporaryDirectory() as folder:
            found[name] = golden(write(Path(folder), shape))
    save(GOLDEN, found)


if __name__ == "__main__":
    main()
