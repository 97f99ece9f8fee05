"""Golden logits of every family in its true width, with few layers, by torch and transformers.

`python -m tests.reference.make_width_goldens` writes golden-width.json (needs torch 2.13 and
transformers 5.23). Nothing here uses rerankd. The weights, hundreds of megabytes, are made up again
wherever they are needed; only every eighth pair is scored, and a longest row.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypedDict

from tests.checkpoints import bert, deberta, decoder, gte, modernbert
from tests.reference.make_decoder_goldens import WINDOW_TOKENS, Item, items
from tests.reference.make_decoder_goldens import Reference as DecoderReference
from tests.reference.make_goldens import Pair, Reference, long_pairs, pairs, save

GOLDEN = Path(__file__).parent / "golden-width.json"
STEP = 8
Writer = Callable[[Path], Path]
ENCODERS: dict[str, Writer] = {
    "minilm-l6": partial(bert.write, shape=bert.MINILM_L6),  # all its layers
    "xlmr-base": partial(bert.write, shape=dataclasses.replace(bert.XLMR_BASE, layers=4)),
    "xlmr-large": partial(bert.write, shape=dataclasses.replace(bert.XLMR_LARGE, layers=2)),
    "modernbert-base": partial(modernbert.write, shape=modernbert.TRUE_WIDTH),
    "deberta-xsmall": partial(deberta.write, shape=deberta.XSMALL_WIDTH),
    "deberta-base": partial(deberta.write, shape=deberta.BASE_WIDTH),
    # in the form that transformers reads
    "gte-base": partial(
        gte.write, shape=dataclasses.replace(gte.TRUE_WIDTH, is_published=False, prefix="gte.")
    ),
}
DECODERS: dict[str, Writer] = {
    "qwen3-0.6b": partial(decoder.write, shape=decoder.WIDE_QWEN3),
    "qwen2-0.5b": partial(decoder.write, shape=decoder.WIDE_QWEN2),
}


class WidthGoldens(TypedDict):
    """What golden-width.json holds, by name."""

    encoders: dict[str, list[list[float]]]  # as width_pairs(), cut to the model's longest row
    decoders: dict[str, list[float]]  # as width_items(), cut to WINDOW_TOKENS


def width_pairs() -> list[Pair]:
    """Every eighth pair, and one longer than any row."""
    return [*pairs()[::STEP], long_pairs()[0]]


def width_items() -> list[Item]:
    """Every eighth prompt."""
    return items()[::STEP]


def main() -> None:
    """Write golden-width.json."""
    found: WidthGoldens = {"encoders": {}, "decoders": {}}
    for name, write in ENCODERS.items():
        with tempfile.TemporaryDirectory() as folder:
            found["encoders"][name] = Reference(write(Path(folder))).pairs(width_pairs())
    for name, write in DECODERS.items():
        with tempfile.TemporaryDirectory() as folder:
            reference = DecoderReference(write(Path(folder)))
            found["decoders"][name] = [
                reference.pair(item, WINDOW_TOKENS) for item in width_items()
            ]
    save(GOLDEN, found)


if __name__ == "__main__":
    main()
