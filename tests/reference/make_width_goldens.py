"""Golden logits of every family in its true width, with few layers, by its own reference.

`python -m tests.reference.make_width_goldens [NAME ...]` writes golden-width.json, or only these
models in it (needs torch 2.13.0, transformers 5.24.0 and sentence-transformers 6.2.0). Nothing here
uses rerankd. The weights, hundreds of megabytes, are made up again wherever they are needed; only
every eighth pair is scored, and a longest row. Of the widest, every 64th is.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.checkpoints import bert, deberta, decoder, gte, logit_score, modernbert, module_head
from tests.reference import make_named_goldens, make_nemotron_goldens
from tests.reference.make_decoder_goldens import WINDOW_TOKENS, Item, items
from tests.reference.make_decoder_goldens import Reference as DecoderReference
from tests.reference.make_goldens import Pair, Reference, long_pairs, pairs, save
from tests.reference.make_module_head_goldens import CrossEncoderReference

GOLDEN = Path(__file__).parent / "golden-width.json"
STEP = 8
WIDEST_STEP = 64
Writer = Callable[[Path], Path]
Logits = list[float] | list[list[float]]  # one of each pair, or K
ENCODERS: dict[str, Writer] = {
    "minilm-l6": partial(bert.write, shape=bert.MINILM_L6),  # all its layers
    "xlmr-base": partial(bert.write, shape=dataclasses.replace(bert.XLMR_BASE, layers=4)),
    "xlmr-large": partial(bert.write, shape=dataclasses.replace(bert.XLMR_LARGE, layers=2)),
    "modernbert-base": partial(modernbert.write, shape=modernbert.TRUE_WIDTH),
    "deberta-xsmall": partial(deberta.write, shape=deberta.XSMALL_WIDTH),
    "deberta-base": partial(deberta.write, shape=deberta.BASE_WIDTH),
    # gte-multilingual-reranker-base's, in the form that transformers reads
    "gte-base": partial(
        gte.write, shape=dataclasses.replace(gte.TRUE_WIDTH, is_published=False, prefix="gte.")
    ),
}
MODULES: dict[str, Writer] = {  # cross-encoders of modules
    "ettin-32m": partial(module_head.write, shape=module_head.ETTIN_32M),  # all its layers
}
DECODERS: dict[str, Writer] = {
    "qwen3-0.6b": partial(decoder.write, shape=decoder.WIDE_QWEN3),
    "qwen2-0.5b": partial(decoder.write, shape=decoder.WIDE_QWEN2),
}
NAMED: dict[str, Writer] = {  # decoders whose prompt only their name says: bge-gemma
    "gemma-2b": partial(logit_score.write_bare, name="bge-gemma", shape=decoder.WIDE_GEMMA),
}
BIDIRECTIONAL: dict[str, Writer] = {
    "nemotron-1b": partial(logit_score.write_nemotron, shape=decoder.WIDE_LLAMA),
}


def width_pairs(step: int = STEP) -> list[Pair]:
    """Every so many pairs, and one longer than any row."""
    return [*pairs()[::step], long_pairs()[0]]


def width_items(step: int = STEP) -> list[Item]:
    """Every so many prompts."""
    return items()[::step]


def _encoder(folder: Path) -> Logits:
    return Reference(folder).pairs(width_pairs())


def _modules(folder: Path) -> Logits:
    return CrossEncoderReference(folder).pairs(width_pairs())


def _decoder(folder: Path) -> Logits:
    reference = DecoderReference(folder)
    return [reference.pair(item, WINDOW_TOKENS) for item in width_items()]


def _named(folder: Path) -> Logits:
    reference = make_named_goldens.Reference(folder, "bge-gemma")
    return [reference.logit(item) for item in width_items(WIDEST_STEP)]


def _bidirectional(folder: Path) -> Logits:
    reference = make_nemotron_goldens.Reference(folder)
    return [reference.logit(pair) for pair in width_pairs(WIDEST_STEP)]


KINDS: dict[str, tuple[dict[str, Writer], Callable[[Path], Logits]]] = {
    "encoders": (ENCODERS, _encoder),
    "modules": (MODULES, _modules),
    "decoders": (DECODERS, _decoder),
    "named": (NAMED, _named),
    "bidirectional": (BIDIRECTIONAL, _bidirectional),
}
KIND_OF = {name: kind for kind, (writers, _) in KINDS.items() for name in writers}


def write(name: str, folder: Path) -> Path:
    """Write one model's folder."""
    return KINDS[KIND_OF[name]][0][name](folder)


def logits(name: str, folder: Path) -> Logits:
    """What the reference of one model says of its folder."""
    return KINDS[KIND_OF[name]][1](folder)


def read() -> dict[str, dict[str, Logits]]:
    """golden-width.json: by kind and name."""
    return json.loads(GOLDEN.read_text(encoding="utf-8"))


def golden(name: str) -> npt.NDArray[np.float64]:
    """The golden logits of one model, (N, K)."""
    found = np.array(read()[KIND_OF[name]][name])
    return found.reshape(len(found), -1)


def main(names: Sequence[str]) -> None:
    """Write golden-width.json."""
    found = read() if names else {}
    for name in names or KIND_OF:
        with tempfile.TemporaryDirectory() as folder:
            made = logits(name, write(name, Path(folder)))
        found.setdefault(KIND_OF[name], {})[name] = made
    save(GOLDEN, found)


if __name__ == "__main__":
    main(sys.argv[1:])
