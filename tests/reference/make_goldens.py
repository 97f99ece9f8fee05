"""Golden logits by torch and transformers on the CPU in fp32, computed the plain way.

`python -m tests.reference.make_goldens` writes golden.json (needs torch 2.13 and transformers
5.23). Nothing here uses rerankd: pairs go one by one through transformers' own tokenizer, and the
chunks of a long document are sliced, joined and scored by hand.
"""

from __future__ import annotations

import importlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from tests.checkpoints.bert import GOLDEN_SHAPES, write

GOLDEN = Path(__file__).parent / "golden.json"


class Pair(TypedDict):
    """One line of pairs.jsonl."""

    source: str
    query: str
    document: str


class LongDocument(TypedDict):
    """A document of several chunks, and the window and overlap to cut it with."""

    query: str
    document: str
    window_tokens: int
    overlap_tokens: int


class Golden(TypedDict):
    """Logits of one checkpoint, K labels each."""

    pairs: list[list[float]]  # as pairs(), cut to the model's longest row
    long: list[list[float]]  # as long_pairs(), likewise
    chunks: list[list[list[float]]]  # as long_documents(), then chunk by chunk


def written_pairs() -> list[Pair]:
    """The lines of pairs.jsonl."""
    lines = (Path(__file__).parent / "pairs.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def pairs() -> list[Pair]:
    """The 320 pairs that every checkpoint scores: those written, 101 with another's document."""
    known = written_pairs()
    others = [known[(i + 37) % len(known)]["document"] for i in range(101)]
    crossed: list[Pair] = [
        {**pair, "document": other} for pair, other in zip(known, others, strict=False)
    ]
    return known + crossed


def long_pairs() -> list[Pair]:
    """Three documents longer than any model's longest row, 8192 tokens."""
    known = written_pairs()
    return [
        {**known[start], "document": " ".join(p["document"] for p in known[start:] + known * 3)}
        for start in (5, 90, 160)
    ]


def long_documents() -> list[LongDocument]:
    """Documents of about 5 to 20 chunks: what the pairs of one source say, one after another."""
    by_source: dict[str, list[Pair]] = {}
    for pair in written_pairs():
        by_source.setdefault(pair["source"], []).append(pair)
    cuts = [(64, 80), (100, 10), (128, 0), (80, 80), (128, 80), (96, 1), (72, 33), (128, 30)]
    return [
        {
            "query": members[2]["query"],
            "document": " ".join(pair["document"] for pair in members[:16]),
            "window_tokens": window,
            "overlap_tokens": overlap,
        }
        for members, (window, overlap) in zip(by_source.values(), cuts, strict=True)
    ]


class Reference:
    """transformers' tokenizer and model of one folder."""

    def __init__(self, folder: Path) -> None:
        self._torch: Any = importlib.import_module("torch")
        transformers: Any = importlib.import_module("transformers")
        self._torch.set_grad_enabled(False)
        self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
        model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
        self._model: Any = model.float().eval()

    def pair(self, query: str, document: str) -> list[float]:
        """Logits (K,) of one pair, the document cut to the model's maximum."""
        # as lists: given two strings, transformers takes an empty document for no document
        inputs = self.tokenizer([query], [document], truncation="only_second", return_tensors="pt")
        return self._model(**inputs).logits[0].tolist()

    def pairs(self, wanted: Sequence[Pair]) -> list[list[float]]:
        """pair() of each, (N, K)."""
        return [self.pair(pair["query"], pair["document"]) for pair in wanted]

    def chunks(self, item: LongDocument, *, right_align_last: bool = False) -> list[list[float]]:
        """Logits (C, K) of a document's chunks, each alone.

        Sources of the rules: BCEmbedding/models/utils.py; for `right_align_last`
        jinaai/jina-reranker-v2-base-multilingual, modeling_xlm_roberta.reranker_tokenize_preproc.
        """
        plain = {"add_special_tokens": False, "truncation": False}
        query = self.tokenizer(item["query"], **plain)["input_ids"]
        document = self.tokenizer(item["document"], **plain)["input_ids"]
        is_bert = self.tokenizer.cls_token == "[CLS]"
        sep = self.tokenizer.sep_token_id
        head = [self.tokenizer.cls_token_id, *query, sep, *([] if is_bert else [sep])]
        room = item["window_tokens"] - len(head) - 1
        overlap = min(item["overlap_tokens"], room // 4)
        found: list[list[float]] = []
        start = 0
        while True:
            is_last = start + room >= len(document)
            if is_last and right_align_last:
                start = max(0, len(document) - room)
            tail = [*document[start : start + room], sep]
            inputs = {"input_ids": self._torch.tensor([head + tail])}
            if "token_type_ids" in self.tokenizer.model_input_names:
                types = [0] * len(head) + [1] * len(tail)
                inputs["token_type_ids"] = self._torch.tensor([types])
            found.append(self._model(**inputs).logits[0].tolist())
            if is_last:
                return found
            start += room - overlap


def golden(folder: Path) -> Golden:
    """All golden logits of one checkpoint."""
    reference = Reference(folder)
    return {
        "pairs": reference.pairs(pairs()),
        "long": reference.pairs(long_pairs()),
        "chunks": [reference.chunks(item) for item in long_documents()],
    }


def save(path: Path, found: Mapping[str, object]) -> None:
    """Write goldens, to 7 digits behind the point."""
    rounded = json.loads(json.dumps(found), parse_float=lambda text: round(float(text), 7))
    path.write_text(json.dumps(rounded, separators=(",", ":")) + "\n", encoding="utf-8")


def main() -> None:
    """Write golden.json."""
    found: dict[str, Golden] = {}
    for name, shape in GOLDEN_SHAPES.items():
        with tempfile.TemporaryDirectory() as folder:
            found[name] = golden(write(Path(folder), shape))
    save(GOLDEN, found)


if __name__ == "__main__":
    main()
