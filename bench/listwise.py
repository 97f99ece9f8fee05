"""One prompt of jina-reranker-v3's shape: rerankd's engine against plain forward passes of it.

`python bench/listwise.py [--layers 4] [--documents 20] [--words 60] [--rounds 3] [--cpu]`

Made-up weights in the true width, with fewer layers than 28: every layer costs the same, so the
ratio of whole models is that of their layers; the last layer of ours is cheaper, which counts for
less among 28 (a whole model's ratio is lower by at most a layer's share). Turns alternate.
The plain pass is transformers' Qwen3Model (torch, fp32, sdpa) on the whole prompt, with what stands
behind the last place that is read, then the projector at the places that are read.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from rerankd.core.request import Content, RerankRequest
from rerankd.engines.base import vectors_of
from rerankd.models.listwise import Listwise
from rerankd.models.load import Spec, load
from tests.checkpoints.listwise import WIDE, write
from tests.reference.make_goldens import pairs
from tests.reference.make_listwise_goldens import Reference


def main() -> None:
    """Print the seconds of each and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--documents", type=int, default=20)
    parser.add_argument("--words", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cpu", action="store_true", help="CPU seconds, on a busy machine")
    args = parser.parse_args()
    shape = replace(WIDE, body=replace(WIDE.body, layers=args.layers))
    words = [word for pair in pairs() for word in pair["document"].split()]
    texts = [" ".join(words[i * args.words : (i + 1) * args.words]) for i in range(args.documents)]
    with tempfile.TemporaryDirectory() as made:
        folder = write(Path(made), shape)
        model = cast("Listwise", load(Spec(name="wide", folder=folder)).model)
        reference = Reference(folder)
        contents = tuple(Content(value=text) for text in texts)
        request = RerankRequest(query=Content(value="Which city is it?"), documents=contents)
        (row,) = model.prepare(request).rows
        prompt = reference.prompt("Which city is it?", texts, None)
        ways: dict[str, Callable[[], Any]] = {
            "rerankd": lambda: vectors_of(row, model.engine),
            "plain (torch)": lambda: reference.vectors(prompt),
        }
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(args.rounds + 1):
            for name, run in ways.items():
                started = time.process_time() if args.cpu else time.perf_counter()
                run()
                ended = time.process_time() if args.cpu else time.perf_counter()
                if turn:  # the first warms up
                    taken[name].append(ended - started)
        print(f"{args.layers} layers, {args.documents} documents, {row.tokens} tokens")
        for name, seconds in taken.items():
            print(f"{name}: {statistics.median(seconds):.2f} s {[round(s, 2) for s in seconds]}")
        ratios = [b / a for a, b in zip(*taken.values(), strict=True)]
        print(f"ratio: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        model.engine.close()


if __name__ == "__main__":
    main()
