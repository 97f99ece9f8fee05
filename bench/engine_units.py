"""How long the longest call into each engine is, and what it leaves in memory.

    uv run python bench/engine_units.py [FAMILY ...] [--row 8192]

Shapes of published models with made-up weights and a small vocabulary. The unit of an encoder is
one row at its window, of `--row` tokens at most; that of rerankd-mini and of a decoder is a slice.
Seconds of one core are those of all threads together. Linux only; about ten minutes on two idle
cores, a minute with `--row 512`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from memory import MINILM, QWEN3, XLMR_BASE, status

from rerankd.core.rows import Row
from rerankd.engines import deberta_config, decoder, encoder, modernbert_config
from rerankd.engines.base import Engine, Sliced
from rerankd.engines.cores import usable_cores
from rerankd.engines.openvino.decoder_engine import DecoderEngine
from rerankd.engines.openvino.engine import OpenVinoEngine
from rerankd.models.mini import load_mini

BATCHES = (512, 1024, 2048, 4096)
VOCABULARY = 1000
M3 = replace(
    XLMR_BASE, hidden=1024, heads=16, intermediate=4096, layers=24, positions=8194, vocab=VOCABULARY
)
MODERNBERT = modernbert_config.ModernBertConfig(
    hidden=768,
    heads=12,
    intermediate=1152,
    vocab=VOCABULARY,
    positions=8192,
    is_global=tuple(layer % 3 == 0 for layer in range(22)),
    reach=64,
    global_theta=160000.0,
    local_theta=10000.0,
    norm_eps=1e-5,
    norm_bias=False,
    attention_bias=False,
    mlp_bias=False,
    head_bias=False,
    pooling="mean",
    labels=1,
)
DEBERTA = deberta_config.DebertaConfig(
    hidden=768,
    layers=12,
    heads=12,
    intermediate=3072,
    vocab=VOCABULARY,
    positions=512,
    token_types=0,
    buckets=256,
    max_distance=512,
    terms=("c2p", "p2c"),
    share_projections=True,
    norm_positions=True,
    layer_norm_eps=1e-7,
    labels=1,
)


class MadeUp:
    """Tensors that keep activations finite."""

    def __init__(self, shapes: dict[str, tuple[int, ...]]) -> None:
        self._shapes = shapes
        self._rng = np.random.default_rng(1)
        self._tables: dict[str, npt.NDArray[np.float32]] = {}

    def __call__(self, name: str) -> npt.NDArray[np.float32]:
        """One tensor."""
        shape = self._shapes[name]
        values = self._rng.standard_normal(shape, dtype=np.float32)
        return values * np.float32(0.02) + np.float32(len(shape) == 1)

    def rows(self, name: str, ids: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """Rows of a table, which is made once."""
        if name not in self._tables:
            self._tables[name] = self(name)
        return self._tables[name][ids]


def encoders() -> dict[str, Callable[[], Engine]]:
    """Engines by name."""

    def made(module: Any, config: Any) -> Callable[[], Engine]:
        return lambda: OpenVinoEngine(config, MadeUp(module.tensor_shapes(config)))

    return {
        "bert (MiniLM-L6)": made(encoder, replace(MINILM, vocab=VOCABULARY)),
        "xlm-roberta (base)": made(encoder, replace(XLMR_BASE, vocab=VOCABULARY)),
        "xlm-roberta (bge-reranker-v2-m3)": made(encoder, M3),
        "modernbert (base)": made(modernbert_config, MODERNBERT),
        "deberta (v3-base)": made(deberta_config, DEBERTA),
    }


def rows(count: int, tokens: int) -> list[Row]:
    """Rows of random ids."""
    rng = np.random.default_rng(count * tokens)
    ids = rng.integers(5, VOCABULARY, (count, tokens), dtype=np.int32)
    return [Row(row, tokens // 2) for row in ids]


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


def resident_mb() -> int:
    """What the kernel says."""
    return status()["VmRSS"] >> 20


def batches(name: str, run: Callable[[int], object]) -> None:
    """Print the speed by the size of a batch; run(tokens) runs one."""
    run(BATCHES[0])
    for tokens in BATCHES:
        wall, cpu = min(timed(lambda: run(tokens)) for _ in range(2))  # noqa: B023 - runs at once
        print(
            f"{name}: batches of {tokens}: {tokens / wall:.0f} tokens/s, {tokens / cpu:.0f} per "
            f"CPU second, {cpu:.2f} s of one core"
        )


def steps(name: str, made: Generator[int, None, object], tokens: int) -> None:
    """Print the longest step of a long row."""
    before, spent = resident_mb(), [(0.0, 0.0)]

    def advance() -> bool:
        return next(made, None) is not None

    while True:
        going: list[bool] = []
        spent.append(timed(lambda: going.append(advance())))  # noqa: B023 - runs at once
        if not going[0]:
            break
    wall, cpu = (max(each) for each in zip(*spent, strict=True))
    print(
        f"{name}: a row of {tokens} tokens in {len(spent) - 2} slices: longest {cpu:.2f} s of one "
        f"core ({wall:.2f} s), {sum(cpu for _, cpu in spent):.1f} s in all; resident "
        f"{before} MiB before, {resident_mb()} after, {status()['VmHWM'] >> 20} at most"
    )


def measure_encoder(name: str, make: Callable[[], Engine], row: int) -> None:
    """Batches of rows of 128 tokens, and one row at the window."""
    engine = make()
    batches(name, lambda tokens: engine.forward(rows(tokens // 128, 128)))
    window = min(engine.info.max_length or row, row)
    before = resident_mb()
    wall, cpu = timed(lambda: engine.forward(rows(1, window)))
    print(
        f"{name}: one row of {window} tokens: {cpu:.2f} s of one core "
        f"({wall:.2f} s); resident {before} MiB before, {resident_mb()} after, "
        f"{status()['VmHWM'] >> 20} at most"
    )
    engine.close()


def measure_mini() -> None:
    """Batches of documents of 190 word pieces, then a document of 600 kB."""
    from mini import Words
    from shared.serving import parsed

    words, model = Words(3), load_mini(cache_bytes=0)
    engine = model.engine
    made = {
        tokens: [
            list(model.prepare(parsed(words.body([words.text(190) for _ in range(n)]))).rows)
            for _ in range(4)
        ]
        for tokens, n in ((tokens, tokens // 198) for tokens in BATCHES)
    }
    batches("rerankd-mini", lambda tokens: engine.forward(made[tokens][0]))
    [row] = model.prepare(parsed(words.body([words.text(100_000)[:600_000]]))).rows
    if not isinstance(engine, Sliced):
        raise TypeError("rerankd-mini runs in slices")
    steps("rerankd-mini", engine.slices(row), row.tokens)
    engine.close()


def measure_decoder(row: int) -> None:
    """Qwen3-Reranker-0.6B."""
    config, name = replace(QWEN3, vocab=VOCABULARY), "qwen3 (0.6B)"
    engine = DecoderEngine(config, MadeUp(decoder.tensor_shapes(config)), yes=1, no=2)
    batches(name, lambda tokens: engine.forward(rows(tokens // 128, 128)))
    steps(name, engine.slices(rows(1, row)[0]), row)
    engine.close()


def main() -> None:
    """Print all, or those whose names begin so."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("families", nargs="*")
    parser.add_argument("--row", type=int, default=8192)
    args = parser.parse_args()
    wanted = tuple(args.families) or ("",)
    print(f"{usable_cores()} cores")
    if "rerankd-mini".startswith(wanted):
        measure_mini()
    for name, make in encoders().items():
        if name.startswith(wanted):
            measure_encoder(name, make, args.row)
    if "qwen3".startswith(wanted):
        measure_decoder(args.row)


if __name__ == "__main__":
    main()
