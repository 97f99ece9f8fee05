"""Golden logits of the decoders by torch and transformers on the CPU in fp32, the plain way.

`python -m tests.reference.make_decoder_goldens` writes golden-decoder.json (needs torch 2.13 and
transformers 5.23). Nothing here uses rerankd: prompts are put together as the publishers' own code
does, every row goes alone through the whole model, and chunks are sliced by hand.
"""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import Any, TypedDict

from tests.checkpoints.decoder import GOLDEN_SHAPES, write
from tests.reference.make_goldens import pairs, save, written_pairs

GOLDEN = Path(__file__).parent / "golden-decoder.json"
WINDOW_TOKENS = 512  # of the pairs; 8192 would never cut one
LONG_TOKENS = 8192
CHUNK_TOKENS, OVERLAP_TOKENS = 300, 40

PREFIX = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and "
    'the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
    "<|im_start|>user\n"
)
SUFFIX = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"
MXBAI_PREFIX = (
    "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant."
    "<|im_end|>\n<|im_start|>user\n"
)
MXBAI_TASK = (
    "You are a search relevance expert who evaluates how well documents match search queries. For "
    "each query-document pair, carefully analyze the semantic relationship between them, then "
    "provide your binary relevance judgment (0 for not relevant, 1 for relevant).\nRelevance:"
)
MXBAI_SUFFIX = "<|im_end|>\n<|im_start|>assistant\n"


class Item(TypedDict):
    """One prompt's contents; instruction None = the model's default."""

    query: str
    document: str
    instruction: str | None


class Golden(TypedDict):
    """Logits of one checkpoint, yes minus no."""

    pairs: list[float]  # as items(), cut to WINDOW_TOKENS
    long: list[float]  # as long_items(), cut to LONG_TOKENS
    chunks: list[list[float]]  # as long_items(), chunk by chunk of rows of CHUNK_TOKENS


def items() -> list[Item]:
    """The pairs, some with an instruction."""
    asked = ("Find code.", "请判断文档是否回答了问题", "Retrieve\npassages {query} of {any} kind")
    return [
        {
            "query": pair["query"],
            "document": pair["document"],
            "instruction": asked[i % 3] if i % 5 == 4 else None,
        }
        for i, pair in enumerate(pairs())
    ]


def long_items() -> list[Item]:
    """Three documents of more than LONG_TOKENS tokens, made of many."""
    known = written_pairs()
    return [
        {
            "query": known[start]["query"],
            "document": "A " + " ".join(p["document"] for p in known[start:] + known[:start]),
            "instruction": None,
        }
        for start in (5, 90, 160)
    ]


class Reference:
    """transformers' tokenizer and model of one folder, and the prompt of its family."""

    def __init__(self, folder: Path) -> None:
        self._torch: Any = importlib.import_module("torch")
        transformers: Any = importlib.import_module("transformers")
        self._torch.set_grad_enabled(False)
        self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
        self._model: Any = model.eval()
        self.is_qwen3: bool = model.config.model_type == "qwen3"

    def ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def parts(self, item: Item) -> tuple[list[int], list[int], list[int]]:
        """Ids before what may be cut, the rest up to the document's end, and ids after it.

        Sources: Qwen3-Embedding, README; mxbai-rerank, mxbai_rerank_v2.py.
        """
        query, document, asked = item["query"], item["document"], item["instruction"]
        if self.is_qwen3:
            body = f"<Instruct>: {asked or INSTRUCTION}\n<Query>: {query}\n<Document>: {document}"
            return self.ids(PREFIX), self.ids(body), self.ids(SUFFIX)
        line = f"instruction: {asked}\n" if asked else ""
        before = self.ids(MXBAI_PREFIX) + self.ids(f"{line}query: {query}") + self.ids("\n")
        after = self.ids("\n") + self.ids(MXBAI_TASK) + self.ids(MXBAI_SUFFIX)
        return before, self.ids(f"document: {document}"), after

    def logit(self, ids: list[int]) -> float:
        """Yes minus no at the last position of one row, by the whole model and its whole head."""
        yes, no = (
            self.ids("yes" if self.is_qwen3 else "1"),
            self.ids("no" if self.is_qwen3 else "0"),
        )
        logits = self._model(input_ids=self._torch.tensor([ids]), logits_to_keep=1).logits[0, -1]
        return float(logits[yes[0]].double() - logits[no[0]].double())

    def pair(self, item: Item, window_tokens: int) -> float:
        """One pair, the body cut from the right."""
        before, body, after = self.parts(item)
        return self.logit(before + body[: window_tokens - len(before) - len(after)] + after)

    def chunks(self, item: Item) -> list[float]:
        """A document's chunks, each alone. Source of the rule: BCEmbedding/models/utils.py."""
        before, body, after = self.parts(item)
        empty = self.parts({**item, "document": "A"})[1]
        head, document = body[: len(empty) - 1], body[len(empty) - 1 :]
        room = CHUNK_TOKENS - len(before) - len(head) - len(after)
        overlap = min(OVERLAP_TOKENS, room // 4)
        found: list[float] = []
        start = 0
        while True:
            found.append(self.logit(before + head + document[start : start + room] + after))
            if start + room >= len(document):
                return found
            start += room - overlap


def golden(folder: Path) -> Golden:
    """All golden logits of one checkpoint."""
    reference = Reference(folder)
    return {
        "pairs": [reference.pair(item, WINDOW_TOKENS) for item in items()],
        "long": [reference.pair(item, LONG_TOKENS) for item in long_items()],
        "chunks": [reference.chunks(item) for item in long_items()],
    }


def main() -> None:
    """Write golden-decoder.json."""
    found: dict[str, Golden] = {}
    for name, shape in GOLDEN_SHAPES.items():
        with tempfile.TemporaryDirectory() as folder:
            found[name] = golden(write(Path(folder), shape))
    save(GOLDEN, found)


if __name__ == "__main__":
    main()
