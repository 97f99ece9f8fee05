"""The torch engine at the shapes of bge-reranker-v2-m3 and Qwen3-Reranker-0.6B, made-up weights.

    python bench/torch_gpu.py                     # on the GPU: bf16, fp16 and fp32
    python bench/torch_gpu.py --tiny --pairs 64   # anywhere: does the script work?

For each shape and precision: pairs per second and tokens per second over the same rows, handed over
as the scheduler would; the share of the matrix-product rate that is measured here in the same
precision; peak memory; how far logits are from fp32's on this device; and how far a pair's logit
moves when the pair runs alone (the self-check's tolerances in models/selfcheck.py come of that).
Lengths are long-tailed (median 127 tokens, 90 % below 293, 512 at most); the decoder's rows come in
requests of 32 that share their first 60 tokens.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from rerankd.core.rows import Logits, Row, TokenIds
from rerankd.engines import decoder, encoder
from rerankd.engines.decoder import DecoderConfig
from rerankd.engines.encoder import EncoderConfig
from rerankd.engines.precisions import TorchPrecision
from rerankd.engines.shared_prefix import plan_groups
from rerankd.engines.torch.attention import Varlen, attention
from rerankd.engines.torch.device import DTYPES, choose_device, exact_fp32
from rerankd.engines.torch.engine import MAX_ROWS, TorchEngine
from rerankd.engines.torch.plan import whole_rows

REQUEST_ROWS, PREFIX_TOKENS, MAX_TOKENS = 32, 60, 512
HALVES: tuple[TorchPrecision, ...] = ("bf16", "fp16")
ANSWERS = (7, 9)  # ids of yes and no; any two will do
Config = EncoderConfig | DecoderConfig
Floats = npt.NDArray[np.float32]

BGE_V2_M3 = EncoderConfig(
    architecture="xlm-roberta",
    hidden=1024,
    layers=24,
    heads=16,
    intermediate=4096,
    vocab=250002,
    positions=8194,
    token_types=1,
    layer_norm_eps=1e-5,
    labels=1,
    pad_id=1,
)
QWEN3_06B = DecoderConfig(
    architecture="qwen3",
    hidden=1024,
    layers=28,
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
SHAPES: dict[str, Config] = {"bge-reranker-v2-m3": BGE_V2_M3, "Qwen3-Reranker-0.6B": QWEN3_06B}
TINY: dict[str, Config] = {
    "tiny XLM-R": dataclasses.replace(
        BGE_V2_M3, hidden=64, layers=3, heads=4, intermediate=128, vocab=500
    ),
    "tiny Qwen3": dataclasses.replace(
        QWEN3_06B, hidden=64, layers=3, heads=4, kv_heads=2, head_dim=32, intermediate=96, vocab=500
    ),
}

_ADDED = ("output.dense.weight", "o_proj.weight", "down_proj.weight")
_COMPARED = ("query.weight", "key.weight", "q_proj.weight", "k_proj.weight")


class MadeUp:
    """Seeded weights, the same for every engine: norms around 1, matrices of unit gain.

    What a layer adds to its input has a smaller gain, and queries and keys a larger one: else all
    rows come to look alike on their way through so many made-up layers.
    """

    def __init__(self, config: Config) -> None:
        is_decoder = isinstance(config, DecoderConfig)
        self._shapes = (
            decoder.tensor_shapes(config) if is_decoder else encoder.tensor_shapes(config)
        )
        self._seeds = {name: seed for seed, name in enumerate(self._shapes)}

    def __call__(self, name: str) -> Floats:
        """One tensor."""
        size = self._shapes[name]
        rng = np.random.default_rng(self._seeds[name])
        made = rng.standard_normal(size, dtype=np.float32)
        if len(size) > 1:
            gain = 0.3 if name.endswith(_ADDED) else 1.5 if name.endswith(_COMPARED) else 1.0
            return made * np.float32(gain * size[-1] ** -0.5)
        return made * np.float32(0.1) + np.float32(name.endswith("weight"))

    def rows(self, name: str, ids: npt.NDArray[np.int32]) -> Floats:
        """Of a table."""
        return self(name)[ids]


def rows_of(config: Config, pairs: int) -> list[Row]:
    """Rows as requests would bring them."""
    rng = np.random.default_rng(1)
    shared = PREFIX_TOKENS if isinstance(config, DecoderConfig) else 0
    vocab: int = config.vocab

    def made_up(count: int) -> TokenIds:
        return rng.integers(10, vocab, count, dtype=np.int32)

    rows: list[Row] = []
    for start in range(0, pairs, REQUEST_ROWS):
        prefix = made_up(shared)
        for _ in range(min(REQUEST_ROWS, pairs - start)):
            own = made_up(max(8, round(rng.lognormal(math.log(127), 0.65))))
            ids = np.concatenate([prefix, own])[:MAX_TOKENS]
            rows.append(Row(ids, ids.size))
    return rows


def batches(rows: Sequence[Row], batch_tokens: int) -> list[list[Row]]:
    """Rows in their order, as many at once as the scheduler would give."""
    made: list[list[Row]] = [[]]
    used = 0
    for row in rows:
        if used and used + row.tokens > batch_tokens:
            made.append([])
            used = 0
        made[-1].append(row)
        used += row.tokens
    return made


def work(config: Config, plan: Sequence[Sequence[Row]]) -> float:
    """Floating-point operations that must be done for these batches, shared prefixes once."""
    h, layers, inner = config.hidden, config.layers - 1, config.intermediate
    if isinstance(config, DecoderConfig):
        kv = 4 * h * config.kv_width
        rest = 4 * h * config.query_width + 6 * h * inner
        width = config.query_width
    else:
        kv, rest, width = 4 * h * h, 4 * h * h + 4 * h * inner, h
    total = 0.0
    for batch in plan:
        tokens, seen, ends = 0, 0.0, sum(row.tokens for row in batch)
        for start in range(0, len(batch), MAX_ROWS):
            rows = batch[start : start + MAX_ROWS]
            if not isinstance(config, DecoderConfig):
                tokens += sum(row.tokens for row in rows)
                seen += sum(row.tokens**2 for row in rows)
                continue
            for group in plan_groups([row.ids for row in rows], [0] * len(rows)):
                shared, members = group.prefix_tokens, group.members
                tokens += shared + sum(rows[i].tokens - shared for i in members)
                seen += shared**2 / 2
                seen += sum((rows[i].tokens ** 2 - shared**2) / 2 for i in members)
        total += layers * (tokens * (kv + rest) + 4 * width * seen)
        total += tokens * kv + len(batch) * rest + 4 * width * ends  # the last layer
    return total


def matmul_rate(
    config: Config, precision: TorchPrecision, device: torch.device, tokens: int
) -> float:
    """Operations per second of the MLP's matrix product with so many tokens, the best of three."""
    dtype, h, inner = DTYPES[precision], config.hidden, config.intermediate
    x = torch.randn(tokens, h, device=device, dtype=dtype)
    w = torch.randn(inner, h, device=device, dtype=dtype)
    best, count = 0.0, 20
    with torch.inference_mode(), exact_fp32():
        for _ in range(4):  # the first warms up
            started = time.perf_counter()
            for _ in range(count - 1):
                torch.nn.functional.linear(x, w)
            torch.nn.functional.linear(x, w)[0, 0].item()  # waits for the device
            took = time.perf_counter() - started
            best = max(best, count * 2.0 * tokens * h * inner / took)
    return best


def ranks(logits: Logits) -> npt.NDArray[np.intp]:
    """Rank of each row."""
    return np.argsort(np.argsort(logits[:, 0]))


@dataclass(frozen=True, slots=True)
class Measured:
    """One engine's logits of all rows, in its own order, and how long they took."""

    logits: Logits
    seconds: list[float]
    company: float  # the most that a logit moves when its row runs alone
    line: str


def measure(config: Config, precision: TorchPrecision, rows: Sequence[Row], args: Args) -> Measured:
    """Load, run all rows a few times, run some rows alone."""
    engine = TorchEngine(
        config, MadeUp(config), device=args.device, precision=precision, yes_no=ANSWERS
    )
    device, on_gpu = torch.device(engine.info.device), engine.info.device.startswith("cuda")
    plan = batches(rows, engine.info.batch_tokens)
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    engine.forward(plan[0])
    seconds: list[float] = []
    logits = np.empty((0, 1), dtype=np.float32)
    for _ in range(args.rounds):
        started = time.perf_counter()
        logits = np.concatenate([engine.forward(batch) for batch in plan])
        seconds.append(time.perf_counter() - started)
    picked = range(0, len(rows), max(1, len(rows) // 32))
    company = max(float(np.abs(engine.forward([rows[i]])[0] - logits[i]).max()) for i in picked)
    median = statistics.median(seconds)
    operations = work(config, plan) / median
    rate = matmul_rate(config, precision, device, engine.info.batch_tokens)
    view = whole_rows(np.array([8], dtype=np.int32))
    head_dim = (
        config.head_dim if isinstance(config, DecoderConfig) else config.hidden // config.heads
    )
    is_varlen = isinstance(attention(view, device, DTYPES[precision], head_dim), Varlen)
    memory = f"{torch.cuda.max_memory_allocated(device) / 2**30:.1f}" if on_gpu else "-"
    tokens = sum(row.tokens for row in rows)
    engine.close()
    line = (
        f"| {precision} | {'varlen' if is_varlen else 'padded'} | {len(rows) / median:,.1f} "
        f"({len(rows) / max(seconds):,.1f} to {len(rows) / min(seconds):,.1f}) "
        f"| {tokens / median:,.0f} | {operations / 1e12:.3g} | {rate / 1e12:.3g} "
        f"| {operations / rate:.0%} | {memory} "
    )
    return Measured(logits, seconds, company, line)


@dataclass(frozen=True, slots=True)
class Args:
    """The command line."""

    device: str | None
    precisions: tuple[TorchPrecision, ...]
    pairs: int
    rounds: int
    tiny: bool


def parse() -> Args:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--device", default=None, help="cpu, cuda:1, ...; a GPU if there is one")
    halves: tuple[TorchPrecision, ...] = ("bf16", "fp16")
    parser.add_argument("--precisions", nargs="+", choices=halves, default=halves)
    parser.add_argument("--pairs", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tiny", action="store_true", help="tiny shapes")
    found = parser.parse_args()
    precisions: tuple[TorchPrecision, ...] = tuple(p for p in HALVES if p in found.precisions)
    return Args(found.device, precisions, found.pairs, found.rounds, found.tiny)


def main() -> None:
    """Print one table per shape."""
    args = parse()
    device = choose_device(args.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    print(f"torch {torch.__version__}, {name}, {args.pairs} pairs, {args.rounds} rounds (median)")
    for shape, config in (TINY if args.tiny else SHAPES).items():
        rows = rows_of(config, args.pairs)
        print(
            f"\n{shape}\n\n| precision | attention | pairs/s (range) | tokens/s | TFLOP/s | matmul "
            "TFLOP/s | share | peak GiB | max dlogit | Spearman | moved by company |\n"
            f"|---|---|---|---|---|---|---|---|---|---|---|"
        )
        exact = measure(config, "fp32", rows, args)
        spread = float(exact.logits.std())
        for precision in ("fp32", *args.precisions):
            found = exact if precision == "fp32" else measure(config, precision, rows, args)
            error = float(np.abs(found.logits - exact.logits).max())
            agreement = float(np.corrcoef(ranks(found.logits), ranks(exact.logits))[0, 1])
            print(
                f"{found.line}| {error:.1e} (std {spread:.2f}) | {agreement:.4f} "
                f"| {found.company:.1e} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
