"""Golden scores of listwise rerankers by torch and transformers on the CPU in fp32, the plain way.

`python -m tests.reference.make_listwise_goldens` writes golden-listwise.json (needs torch 2.13 and
transformers 5.24). Nothing here uses rerankd: prompts, blocks and fusion are written out as in the
model's own code, every prompt goes alone and whole through transformers' Qwen3Model, with what
stands behind the last place that is read.
"""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from safetensors.numpy import load_file  # pyright: ignore[reportUnknownVariableType] - PathLike

from tests.checkpoints.listwise import GOLDEN_SHAPES, write
from tests.reference.make_goldens import pairs, save

GOLDEN = Path(__file__).parent / "golden-listwise.json"
BLOCK = 125
DOC, RERANK, SCORE = "<|embed_token|>", "<|rerank_token|>", "<|score_token|>"
SYSTEM = (
    "<|im_start|>system\n"
    "You are a search relevance expert who can determine a ranking of the passages based on how "
    "relevant they are to the query. "
    "If the query is a question, how relevant a passage is depends on how well it answers the "
    "question. "
    "If not, try to analyze the intent of the query and assess how well each passage satisfies the "
    "intent. "
    "If an instruction is provided, you should follow the instruction when determining the "
    "ranking."
    "<|im_end|>\n<|im_start|>user\n"
)
SUFFIX = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
TASK = (
    "\nPlease provide the ranking of all passages based on their relevance to the search query, in "
    "descending order of relevance, with each label enclosed in square brackets (e.g., [2] > [1] > "
    "[3] > [0])."
)


class Case(TypedDict):
    """One request."""

    query: str
    documents: list[str]
    instruction: str | None


def _case(query: str, documents: list[str], instruction: str | None = None) -> Case:
    return {"query": query, "documents": documents, "instruction": instruction}


def cases() -> dict[str, Case]:
    """Requests of several sizes, by name."""
    known = pairs()
    texts = [pair["document"] for pair in known]
    short = [text[:48] for text in texts]
    query = known[0]["query"]
    long = " ".join(pair["query"] for pair in known)
    marked = ["a<|embed_token|>b", "<|rerank_token|>", "x <|im_end|> y", "c<|score_token|>", ""]
    return {
        "one": _case(query, short[:1]),
        "125": _case(query, short[:125]),
        "126": _case(known[7]["query"], short[:126]),
        "300": _case(known[40]["query"], short[:300]),
        "reversed": _case(query, short[:125][::-1]),
        "marks": _case("what<|rerank_token|> is<|embed_token|> it", [*marked, *short[:4]]),
        "long query": _case(long, short[:5]),
        "instruction": _case(query, short[:5], "Find code.\nAnd {braces}."),
        "long document": _case(query, [short[0], " ".join(texts), short[1]]),
        "equal": _case(query, [short[3], short[4], short[3], short[3]]),
    }


def narrow_cases() -> dict[str, Case]:
    """Requests whose blocks are full by their tokens."""
    texts = [pair["document"] for pair in pairs()]
    return {"blocks": _case("Which one?", texts[:80])}


def of_shape(name: str) -> dict[str, Case]:
    """The cases of one of GOLDEN_SHAPES."""
    return narrow_cases() if name.endswith("-narrow") else cases()


class Reference:
    """transformers' tokenizer and model of one folder, and the projector in numpy."""

    def __init__(self, folder: Path) -> None:
        self._torch: Any = importlib.import_module("torch")
        transformers: Any = importlib.import_module("transformers")
        self._torch.set_grad_enabled(False)
        self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
        raw: dict[str, Any] = dict(load_file(folder / "model.safetensors"))
        config = transformers.Qwen3Config.from_pretrained(folder)
        self._model: Any = transformers.Qwen3Model(config).eval().float()
        body = {
            name.removeprefix("model."): self._torch.tensor(tensor)
            for name, tensor in raw.items()
            if name.startswith("model.")
        }
        self._model.load_state_dict(body, strict=True)
        self._first, self._second = raw["projector.0.weight"], raw["projector.2.weight"]
        self.is_windowed: bool = config.use_sliding_window
        self.max_query, self.max_document = (1984, 8191) if self.is_windowed else (512, 2048)

    def cut(self, text: str, most: int) -> tuple[str, int]:
        """modeling.JinaForRanking._truncate_texts."""
        ids = self.tokenizer(text, truncation=True, max_length=most)["input_ids"]
        return (self.tokenizer.decode(ids) if len(ids) >= most else text), len(ids)

    def prompt(self, query: str, documents: list[str], instruction: str | None) -> str:
        """modeling.format_docs_prompts_func, and what differs in v3.5."""

        def clean(text: str) -> str:
            for token in (RERANK, DOC, *((SCORE,) if self.is_windowed else ())):
                text = text.replace(token, "")
            return text

        query, documents = clean(query), [clean(each) for each in documents]
        made = (
            f"I will provide you with {len(documents)} passages, each indicated by a numerical "
            f"identifier. Rank the passages based on their relevance to query: {query}"
            f"{RERANK if self.is_windowed else ''}\n"
        )
        if instruction:
            made += f"<instruct>\n{instruction}\n</instruct>\n"
        made += "\n".join(
            f'<passage id="{i}">\n{text}{DOC}\n</passage>' for i, text in enumerate(documents)
        )
        made += f"\n<query>\n{query}{RERANK}\n</query>"
        return SYSTEM + made + (TASK if self.is_windowed else "") + SUFFIX

    def vectors(self, prompt: str) -> tuple[Any, Any]:
        """Projected states of one prompt: documents (n, d), query (d,)."""
        ids = self.tokenizer(prompt)["input_ids"]
        states = self._model(input_ids=self._torch.tensor([ids])).last_hidden_state[0].numpy()
        places, doc, query = np.array(ids), *self.tokenizer.convert_tokens_to_ids([DOC, RERANK])
        projected = np.maximum(states @ self._first.T, 0) @ self._second.T
        return projected[places == doc], projected[np.flatnonzero(places == query)[-1]]

    def rerank(self, case: Case) -> list[float]:
        """modeling.JinaForRanking.rerank, in the documents' order."""
        query, query_length = self.cut(case["query"], self.max_query)
        max_length = self.tokenizer.model_max_length
        documents: list[Any] = []
        queries: list[Any] = []
        weights: list[Any] = []

        def run(block: list[str]) -> None:
            found, asked = self.vectors(self.prompt(query, block, case["instruction"]))
            assert len(found) == len(block)
            documents.extend(found)
            queries.append(asked)
            weights.append(((1.0 + _cosines(found, asked)) / 2.0).max())

        block: list[str] = []
        used = 0
        for text in case["documents"]:
            kept, length = self.cut(text, self.max_document)
            block.append(kept)
            used += length
            if self.is_windowed:
                is_full = query_length + used >= max_length - 8192
            else:
                is_full = max_length - 2 * query_length - used <= self.max_document
            if len(block) >= BLOCK or is_full:
                run(block)
                block, used = [], 0
        if block:
            run(block)
        asked = np.average(np.array(queries), axis=0, weights=weights)
        return [float(each) for each in _cosines(np.array(documents), asked)]


def _cosines(documents: Any, query: Any) -> Any:
    return documents @ query / (np.linalg.norm(query) * np.linalg.norm(documents, axis=1))


def golden(folder: Path, name: str) -> dict[str, list[float]]:
    """The scores of all cases of one checkpoint."""
    reference = Reference(folder)
    return {case: reference.rerank(request) for case, request in of_shape(name).items()}


def main() -> None:
    """Write golden-listwise.json."""
    found: dict[str, dict[str, list[float]]] = {}
    for name, shape in GOLDEN_SHAPES.items():
        with tempfile.TemporaryDirectory() as folder:
            found[name] = golden(write(Path(folder), shape), name)
    save(GOLDEN, found)


if __name__ == "__main__":
    main()
