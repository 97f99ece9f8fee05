"""The torch engine at the shape of Qwen3-VL-Reranker-2B, made-up weights and images.

    python bench/torch_vision.py                      # on the GPU: fp32, then bf16 and fp16
    python bench/torch_vision.py --tiny --pairs 16    # anywhere: does the script work?

For each kind of request and each precision: pairs per second and tokens per second over the same
rows, handed over as the scheduler would; peak memory of the device; how far logits are from fp32's
on this device; and how far a pair's logit moves when the pair runs alone (the self-check's
tolerances in models/selfcheck.py come of that). Preparing (resizing, tokenising) is not timed.

Requests have 16 documents. Images are 768 tokens (1024 by 768 pixels), texts about 150 tokens:
    text            a text query, texts
    image           a text query, an image per document
    image query     one image as the query, texts
    image for image one image as the query, an image per document
    video           a text query, a video of 16 frames per document (about 2000 tokens)
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rerankd.core.rows import Logits, Row, TokenIds
from rerankd.core.visual import Placed, Visual
from rerankd.engines.decoder import EMBEDDINGS, DecoderConfig
from rerankd.engines.precisions import TorchPrecision
from rerankd.engines.torch.device import choose_device
from rerankd.engines.torch.engine import TorchEngine
from rerankd.engines.vision_config import VisionConfig, VisionDecoderConfig, tensor_shapes

REQUEST_ROWS, PREFIX_TOKENS, TEXT_TOKENS = 16, 60, 90
HALVES: tuple[TorchPrecision, ...] = ("bf16", "fp16")
ANSWERS = (7, 9)  # ids of yes and no; any two will do
IMAGE_GRID, FRAME_GRID = (24, 32), (15, 16)

QWEN3_VL_2B = VisionDecoderConfig(
    text=DecoderConfig(
        architecture="qwen3",
        hidden=2048,
        layers=28,
        heads=16,
        kv_heads=8,
        head_dim=128,
        intermediate=6144,
        vocab=151936,
        max_length=262144,
        rms_norm_eps=1e-6,
        rope_theta=5e6,
        attention_bias=False,
        output_bias=False,
        tied=True,
    ),
    vision=VisionConfig(
        depth=24,
        hidden=1024,
        heads=16,
        intermediate=4096,
        patch=16,
        merge=2,
        side=48,
        deepstack=(5, 11, 17),
    ),
    sections=(24, 20, 20),
)
TINY = VisionDecoderConfig(
    text=dataclasses.replace(
        QWEN3_VL_2B.text,
        hidden=64,
        layers=5,
        heads=4,
        kv_heads=2,
        head_dim=32,
        intermediate=96,
        vocab=500,
    ),
    vision=dataclasses.replace(
        QWEN3_VL_2B.vision, depth=4, hidden=32, heads=2, intermediate=64, side=12, deepstack=(0, 1)
    ),
    sections=(6, 5, 5),
)

_ADDED = ("o_proj.weight", "down_proj.weight", "attn.proj.weight", "mlp.linear_fc2.weight")
_COMPARED = ("q_proj.weight", "k_proj.weight")


class MadeUp:
    """Seeded weights, made on the device in fp32, the same for every precision.

    Norms around 1, matrices of unit gain; what a layer adds to its input has a smaller one, and
    queries and keys a larger one: else all rows come to look alike on their way.
    """

    def __init__(self, config: VisionDecoderConfig, device: torch.device) -> None:
        self._shapes = tensor_shapes(config)
        self._seeds = {name: seed for seed, name in enumerate(self._shapes)}
        self._device = device

    def __call__(self, name: str) -> Any:
        """One tensor; the embeddings, of which the head is made, as an array."""
        size = self._shapes[name]
        generator = torch.Generator(self._device).manual_seed(self._seeds[name])
        made = torch.randn(size, generator=generator, device=self._device)
        if len(size) > 1:
            gain = 0.3 if name.endswith(_ADDED) else 1.5 if name.endswith(_COMPARED) else 1.0
            made *= gain * float(np.prod(size[1:])) ** -0.5
        else:
            made = made * 0.1 + float(name.endswith("weight"))
        return made.cpu().numpy() if name == EMBEDDINGS else made

    def rows(self, name: str, ids: npt.NDArray[np.int32]) -> Any:
        """Of a table."""
        return self(name)[ids]


class Maker:
    """Rows as requests would bring them."""

    def __init__(self, config: VisionDecoderConfig, *, tiny: bool) -> None:
        self._vocab = config.vocab
        self._pixels = config.vision.token_pixels
        self._rng = np.random.default_rng(1)
        self._grids = ((3, 4), (2, 3)) if tiny else (IMAGE_GRID, FRAME_GRID)
        self._made = 0

    def text(self, tokens: int) -> TokenIds:
        """So many ids."""
        return self._rng.integers(10, self._vocab, tokens, dtype=np.int32)

    def visual(self, grid: tuple[int, int], frames: int) -> Visual:
        """Slopes of made-up colours: pictures differ as a whole, not in noise alone."""
        self._made += 1
        down, across = (n * self._pixels for n in grid)
        y, x = np.indices((down, across))
        slopes = self._rng.integers(1, 6, (frames, 3, 2))
        made = [np.stack([y * a + x * b for a, b in each], axis=-1) for each in slopes]
        return Visual(
            frames=np.stack(made).astype(np.uint8),
            grid=grid,
            digest=self._made.to_bytes(32, "big"),
        )

    def row(self, *parts: TokenIds | Visual) -> Row:
        """Texts and pictures behind one another, and a closing text."""
        ids: list[TokenIds] = []
        placed: list[Placed] = []
        size = 0
        for part in parts:
            if isinstance(part, Visual):
                placed.append(Placed(part, size))
            own = np.zeros(part.tokens, np.int32) if isinstance(part, Visual) else part
            ids.append(own)
            size += own.size
        joined = np.concatenate([*ids, np.arange(5, dtype=np.int32)])
        return Row(joined, joined.size, visuals=tuple(placed))

    def requests(self, pairs: int, kind: str) -> list[Row]:
        """Rows of one kind of request."""
        image, frame = self._grids
        rows: list[Row] = []
        for start in range(0, pairs, REQUEST_ROWS):
            head: list[TokenIds | Visual] = [self.text(PREFIX_TOKENS)]
            if kind.startswith("image query") or kind == "image for image":
                head += [self.visual(image, 1), self.text(4)]
            for _ in range(min(REQUEST_ROWS, pairs - start)):
                own: list[TokenIds | Visual] = [self.text(TEXT_TOKENS)]
                if kind in ("image", "image for image"):
                    own = [self.visual(image, 1)]
                elif kind == "video":
                    own = [p for _ in range(8) for p in (self.text(9), self.visual(frame, 2))]
                rows.append(self.row(*head, *own))
        return rows


KINDS = ("text", "image", "image query", "image for image", "video")


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


def ranks(logits: Logits) -> npt.NDArray[np.intp]:
    """Rank of each row."""
    return np.argsort(np.argsort(logits[:, 0]))


@dataclass(frozen=True, slots=True)
class Measured:
    """One precision's logits of one kind, and what it cost."""

    logits: Logits
    line: str
    company: float  # the most that a logit moves when its row runs alone


@dataclass(frozen=True, slots=True)
class Args:
    """The command line."""

    device: str | None
    precisions: tuple[TorchPrecision, ...]
    pairs: int
    rounds: int
    tiny: bool


def measure(engine: TorchEngine, rows: Sequence[Row], rounds: int) -> Measured:
    """Run all rows a few times, and some alone."""
    device, on_gpu = torch.device(engine.info.device), engine.info.device.startswith("cuda")
    plan = batches(rows, engine.info.batch_tokens)
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    engine.forward(plan[0])
    seconds: list[float] = []
    logits = np.empty((0, 1), dtype=np.float32)
    for _ in range(rounds):
        started = time.perf_counter()
        logits = np.concatenate([engine.forward(batch) for batch in plan])
        seconds.append(time.perf_counter() - started)
    memory = f"{torch.cuda.max_memory_allocated(device) / 2**30:.1f}" if on_gpu else "-"
    picked = range(0, len(rows), max(1, len(rows) // 16))
    company = max(float(np.abs(engine.forward([rows[i]])[0] - logits[i]).max()) for i in picked)
    median, tokens = statistics.median(seconds), sum(row.tokens for row in rows)
    line = (
        f"| {engine.info.precision} | {tokens / len(rows):,.0f} | {len(rows) / median:,.1f} "
        f"({len(rows) / max(seconds):,.1f} to {len(rows) / min(seconds):,.1f}) "
        f"| {tokens / median:,.0f} | {memory} "
    )
    return Measured(logits, line, company)


def all_kinds(
    config: VisionDecoderConfig, precision: TorchPrecision, kinds: dict[str, list[Row]], args: Args
) -> dict[str, Measured]:
    """One engine, every kind of request."""
    weights: Callable[[str], Any] = MadeUp(config, choose_device(args.device))
    engine = TorchEngine(config, weights, device=args.device, precision=precision, yes_no=ANSWERS)
    try:
        return {kind: measure(engine, rows, args.rounds) for kind, rows in kinds.items()}
    finally:
        engine.close()


def parse() -> Args:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--device", default=None, help="cpu, cuda:1, ...; a GPU if there is one")
    parser.add_argument("--precisions", nargs="+", choices=HALVES, default=HALVES)
    parser.add_argument("--pairs", type=int, default=64, help="of each kind")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tiny", action="store_true", help="a tiny shape")
    found = parser.parse_args()
    precisions: tuple[TorchPrecision, ...] = tuple(p for p in HALVES if p in found.precisions)
    return Args(found.device, precisions, found.pairs, found.rounds, found.tiny)


def main() -> None:
    """Print one table per kind of request."""
    args = parse()
    config = TINY if args.tiny else QWEN3_VL_2B
    device = choose_device(args.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    count = sum(int(np.prod(size)) for size in tensor_shapes(config).values())
    print(
        f"torch {torch.__version__}, {name}, {count / 1e9:.2f} billion parameters, {args.pairs} "
        f"pairs of each kind, {args.rounds} rounds (median)"
    )
    maker = Maker(config, tiny=args.tiny)
    kinds = {kind: maker.requests(args.pairs, kind) for kind in KINDS}
    found: dict[TorchPrecision, dict[str, Measured]] = {}
    for precision in ("fp32", *args.precisions):
        found[precision] = all_kinds(config, precision, kinds, args)
    for kind in kinds:
        print(
            f"\n{kind}\n\n| precision | tokens per pair | pairs/s (range) | tokens/s | peak GiB "
            "| max dlogit | Spearman | moved by company |\n|---|---|---|---|---|---|---|---|"
        )
        exact = found["fp32"][kind]
        for measured in (found[precision][kind] for precision in found):
            error = float(np.abs(measured.logits - exact.logits).max())
            agreement = float(np.corrcoef(ranks(measured.logits), ranks(exact.logits))[0, 1])
            print(
                f"{measured.line}| {error:.1e} (std {exact.logits.std():.2f}) | {agreement:.4f} "
                f"| {measured.company:.1e} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
