"""What a decoder reranker gains by computing a request's shared prefix once.

Three ways to score the same rows at the shape of Qwen3-Reranker-0.6B with made-up weights, on the
same kernels, in alternating rounds of one run: a naive full forward (the head over the whole
vocabulary at every position), full forwards that compute the last logits only, and
DecoderEngine. CPU seconds of the process, so that other work on the machine disturbs little.

    uv run --with matplotlib python bench/shared_prefix.py --png shared_prefix.png

prints the two tables and draws the second; without matplotlib it only prints.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rerankd.core.rows import Logits, Row, TokenIds
from rerankd.engines.cores import usable_cores
from rerankd.engines.decoder import EMBEDDINGS, DecoderConfig, answer_row, tensor_shapes
from rerankd.engines.openvino import qwen
from rerankd.engines.openvino.blocks import weight
from rerankd.engines.openvino.compilation import compile_graph
from rerankd.engines.openvino.decoder_engine import MICRO_BATCH_TOKENS, DecoderEngine
from rerankd.engines.openvino.decoder_pack import pack
from rerankd.engines.openvino.runtime import ops, ov

YES, NO = 9693, 2152  # ids of Qwen3's tokenizer
PREFIXES = (0, 15, 30, 60, 120, 240, 480)
Floats = npt.NDArray[np.float32]
Way = Callable[[Sequence[Row]], Logits]


def shape(layers: int) -> DecoderConfig:
    """Qwen3-Reranker-0.6B with so many of its 28 layers."""
    return DecoderConfig(
        architecture="qwen3",
        hidden=1024,
        layers=layers,
        heads=16,
        kv_heads=8,
        head_dim=128,
        intermediate=3072,
        vocab=151669,
        max_length=40960,
        rms_norm_eps=1e-6,
        rope_theta=1e6,
        attention_bias=False,
        output_bias=False,
        tied=True,
    )


class MadeUp:
    """Seeded weights; each tensor is made once and shared by all graphs."""

    def __init__(self, config: DecoderConfig) -> None:
        self._shapes = tensor_shapes(config)
        self._made: dict[str, Floats] = {}

    def __call__(self, name: str) -> Floats:
        """One tensor: norms around 1, matrices of unit gain."""
        if name not in self._made:
            size = self._shapes[name]
            rng = np.random.default_rng(len(self._made))
            made = rng.standard_normal(size, dtype=np.float32)
            made *= np.float32(size[-1] ** -0.5 if len(size) > 1 else 0.1)
            self._made[name] = made if len(size) > 1 else made + np.float32(1)
        return self._made[name]

    def rows(self, name: str, ids: npt.NDArray[np.int32]) -> Floats:
        """Rows of a table."""
        return self(name)[ids]


class Full:
    """Every row whole: the engine's graph without a past, or the naive one."""

    def __init__(self, config: DecoderConfig, weights: MadeUp, *, naive: bool) -> None:
        self._config = config
        self._naive = naive
        self._weights = weights
        self._past = np.empty((0, 2 * config.layers, config.kv_heads, config.head_dim), np.float32)
        if naive:
            model = naive_graph(config, weights)
        else:
            model = qwen.build(config, weights, answer_row(config, weights, yes=YES, no=NO))
        compiled = compile_graph(model, streams=1, threads=usable_cores(), precision="fp32")
        self._request: Any = compiled.create_infer_request()

    def __call__(self, rows: Sequence[Row]) -> Logits:
        """Logits (B, 1), as many rows per call as the engine would take."""
        longest = max(row.tokens for row in rows)
        step = max(1, MICRO_BATCH_TOKENS // longest)
        parts = [
            self._call([row.ids for row in rows[i : i + step]]) for i in range(0, len(rows), step)
        ]
        return np.concatenate(parts)

    def _call(self, rows: list[TokenIds]) -> Logits:
        inputs = pack(rows, self._config, past=self._past, keep=False)
        inputs["words"] = self._weights.rows(EMBEDDINGS, inputs.pop("ids"))
        last = inputs["last"]
        if self._naive:
            inputs = {name: inputs[name] for name in inputs if name not in ("last", "keep")}
        self._request.infer(inputs, share_inputs=True)
        out = self._request.get_tensor("logits").data
        return out[last, YES, None] - out[last, NO, None] if self._naive else out.copy()


def naive_graph(config: DecoderConfig, weights: MadeUp) -> Any:
    """All layers for all tokens, and the whole head: (T, vocabulary)."""
    graph = qwen.QwenLayers(config, weights)
    x = graph.inputs.words
    for index in range(config.layers):
        x, _ = graph.layer(x, index, only_last=False)
    x = qwen.rms_norm(x, weights, "norm", config.rms_norm_eps)
    used = [node for node in graph.inputs.parameters() if node not in unused(graph.inputs)]
    logits = ops.matmul(x, weight(weights, EMBEDDINGS), False, True)
    return ov.Model([ops.result(logits, name="logits")], used, "naive")


def unused(inputs: qwen.QwenInputs) -> tuple[Any, Any]:
    """Inputs that the naive graph has no use for."""
    return inputs.last, inputs.keep


class Shared:
    """The engine, which has not seen the request before: all rows at once, or batch by batch."""

    def __init__(self, engine: DecoderEngine, *, batched: bool) -> None:
        self._engine = engine
        self._batched = batched

    def __call__(self, rows: Sequence[Row]) -> Logits:
        """Logits (B, 1)."""
        self._engine._cache.clear()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        if not self._batched:
            return self._engine.forward(rows)
        step = max(1, self._engine.info.batch_tokens // rows[0].tokens)
        parts = [self._engine.forward(rows[i : i + step]) for i in range(0, len(rows), step)]
        return np.concatenate(parts)


@dataclass(frozen=True)
class Timed:
    """CPU seconds of one way, round by round, and its logits."""

    seconds: list[float]
    logits: Logits

    @property
    def median_s(self) -> float:
        """The middle round."""
        return statistics.median(self.seconds)


def rows_of(prefix: int, documents: int, tokens: int) -> list[Row]:
    """One request: rows of the same `prefix` tokens and `tokens` of their own."""
    rng = np.random.default_rng(prefix)
    head = rng.integers(0, 150_000, prefix)
    made = [np.concatenate([head, rng.integers(0, 150_000, tokens)]) for _ in range(documents)]
    return [Row(ids.astype(np.int32), ids.size) for ids in made]


def compare(ways: dict[str, Way], rows: Sequence[Row], rounds: int) -> dict[str, Timed]:
    """All ways in turn, so that a slow minute of the machine hits each."""
    timed: dict[str, Timed] = {}
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.process_time()
            logits = way(rows)
            spent = time.process_time() - started
            timed[name] = Timed([*(timed[name].seconds if name in timed else ()), spent], logits)
    return timed


def main() -> None:
    """Print both tables; draw the second if matplotlib is there and --png is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=28)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--documents", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=120, help="of each document")
    parser.add_argument("--prefix", type=int, default=60)
    parser.add_argument("--sweep-documents", type=int, default=8)
    parser.add_argument("--sweep-rounds", type=int, default=1)
    parser.add_argument("--only-sweep", action="store_true", help="the second table alone")
    parser.add_argument("--png", type=Path)
    args = parser.parse_args()
    config = shape(args.layers)
    weights = MadeUp(config)
    engine = DecoderEngine(config, weights, yes=YES, no=NO)
    last, shared = Full(config, weights, naive=False), Shared(engine, batched=False)
    if not args.only_sweep:
        ways: dict[str, Way] = {
            "naive": Full(config, weights, naive=True),
            "last logits only": last,
            "shared prefix": shared,
            "shared, in the scheduler's batches": Shared(engine, batched=True),
        }
        first_table(ways, args)
        del ways  # the naive graph's weights
    sweep(last, shared, args)


def first_table(ways: dict[str, Way], args: argparse.Namespace) -> None:
    """All ways side by side, on one request."""
    rows = rows_of(args.prefix, args.documents, args.tokens)
    timed = compare(ways, rows, args.rounds)
    print(
        f"{args.layers} layers, prefix {args.prefix}, {args.documents} documents of "
        f"{args.tokens} tokens, {args.rounds} rounds, {usable_cores()} threads\n\n"
        "| way | CPU s, median (range) | documents per CPU s | over last only | over naive "
        "| max logit difference |\n|---|---|---|---|---|---|"
    )
    for name, each in timed.items():
        seconds = each.median_s
        difference = np.abs(each.logits - timed["last logits only"].logits).max()
        print(
            f"| {name} | {seconds:.1f} ({min(each.seconds):.1f}-{max(each.seconds):.1f}) "
            f"| {args.documents / seconds:.2f} "
            f"| {timed['last logits only'].median_s / seconds:.2f} "
            f"| {timed['naive'].median_s / seconds:.2f} | {difference:.1e} |",
            flush=True,
        )


def sweep(last: Way, shared: Way, args: argparse.Namespace) -> None:
    """Gain over last-logit-only full forwards, by the length of the prefix."""
    documents, tokens = args.sweep_documents, args.tokens
    print(
        f"\n{args.layers} layers, {documents} documents of {tokens} tokens, "
        f"{args.sweep_rounds} rounds\n\n"
        "| prefix tokens | last only, CPU s | shared, CPU s | gain | of tokens |\n"
        "|---|---|---|---|---|"
    )
    gains: list[float] = []
    bounds: list[float] = []
    for prefix in PREFIXES:
        rows = rows_of(prefix, documents, tokens)
        timed = compare({"last": last, "shared": shared}, rows, args.sweep_rounds)
        gains.append(timed["last"].median_s / timed["shared"].median_s)
        bounds.append(documents * (prefix + tokens) / (prefix + documents * tokens))
        print(
            f"| {prefix} | {timed['last'].median_s:.1f} | {timed['shared'].median_s:.1f} "
            f"| {gains[-1]:.2f} | {bounds[-1]:.2f} |",
            flush=True,
        )
    if args.png is not None:
        draw(args.png, gains, bounds, f"{documents} documents of {tokens} tokens")


def draw(path: Path, gains: Sequence[float], bounds: Sequence[float], what: str) -> None:
    """The sweep as a picture."""
    try:
        plt: Any = importlib.import_module("matplotlib.pyplot")
    except ImportError:
        print("no matplotlib, no picture: run with `uv run --with matplotlib`")
        return
    figure, axes = plt.subplots(figsize=(6, 4))
    axes.plot(PREFIXES, bounds, "--", color="0.6", label="tokens spared")
    axes.plot(PREFIXES, gains, "o-", label="CPU seconds, measured")
    axes.set(
        xlabel="tokens of the shared prefix", ylabel="times faster", title=what, ylim=(0.8, None)
    )
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
