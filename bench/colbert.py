"""What does a ColBERT model cost: documents for the first time, and when they come again?

`uv run --group dev python -m bench.colbert` prints a table. Weights are made up, in LateOn's shape
with a small vocabulary, or in that of a 32M model; documents are about 300 tokens.
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
import tempfile
import time
from pathlib import Path

from rerankd.core.request import Content, RerankRequest
from rerankd.models.base import Model
from rerankd.models.colbert import load_colbert
from rerankd.models.folder_word import read_word
from rerankd.models.loaders import Opening
from tests.checkpoints import modernbert
from tests.checkpoints.colbert import LATEON, Layer, write
from tests.reference.make_goldens import written_pairs

QUERIES = ("what is the capital of France", "who wrote the book", "how tall is it", "where was it")
DOCUMENT_CHARACTERS = 1200
_SMALL = modernbert.TRUE_WIDTH
SHAPES = {
    "149M, as LateOn": LATEON,
    "32M, as mxbai-edge": dataclasses.replace(
        LATEON,
        body=dataclasses.replace(
            _SMALL,
            hidden=384,
            heads=6,
            intermediate=576,
            is_global=tuple(layer % 3 == 0 for layer in range(10)),
        ),
        layers=(Layer(64),),
    ),
}


def documents(count: int) -> list[str]:
    """Different texts of one length."""
    text = " ".join(pair["document"] for pair in written_pairs())
    step = (len(text) - DOCUMENT_CHARACTERS) // count
    return [text[i * step : i * step + DOCUMENT_CHARACTERS] for i in range(count)]


def seconds(model: Model, query: str, texts: list[str]) -> tuple[float, int]:
    """Of one request, tokenised and scored; and its tokens."""
    started = time.perf_counter()
    contents = tuple(Content(value=text) for text in texts)
    request = RerankRequest(query=Content(value=query), documents=contents, max_chunks_per_doc=1)
    prepared = model.prepare(request)
    model.logit(model.engine.forward(prepared.rows))
    return time.perf_counter() - started, prepared.input_tokens


def main() -> None:
    """Print a line for each shape."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 16
    texts = documents(count)
    print("| model | documents | tokens | first | again | ratio |\n|---|---|---|---|---|---|")
    for name, shape in SHAPES.items():
        with tempfile.TemporaryDirectory() as place:
            folder = write(Path(place) / "colbert", shape)
            opening = Opening(folder=folder, word=read_word(folder), name=name)
            model = load_colbert(opening)
            seconds(model, QUERIES[0], ["a short text"])  # the first call builds kernels
            first, tokens = seconds(model, QUERIES[0], texts)
            again = statistics.median(seconds(model, query, texts)[0] for query in QUERIES[1:])
            model.engine.close()
        figures = f"{first:.2f} s | {again * 1000:.0f} ms | {first / again:.0f}"
        print(f"| {name} | {count} | {tokens} | {figures} |")


if __name__ == "__main__":
    main()
