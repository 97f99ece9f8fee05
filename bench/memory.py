"""What a model costs in memory, and how long it takes from process start to ready.

Writes checkpoints of true shapes with made-up weights (once, into the folder given), loads each in
a fresh process as `rerankd serve` does (self-check included), runs 50 batches of random token ids,
and prints what the kernel says of that process. "Private" is RssAnon: memory that only this process
has and that cannot be dropped; its peak is polled from outside every 2 ms. Pages of the mapped
checkpoint file are RssFile: they are the page cache's, shared by all processes that map the file,
and dropped when memory runs short. VmHWM is the peak of both together, kept by the kernel itself.

    uv run python bench/memory.py CACHE_FOLDER [minilm xlmr-base xlmr-large-4 qwen3-bf16 qwen3-fp32]

`--cold` evicts the weight file from the page cache first. Linux only.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rerankd.core.rows import Row
from rerankd.engines.decoder import DecoderConfig
from rerankd.engines.decoder import tensor_shapes as decoder_shapes
from rerankd.engines.encoder import EncoderConfig
from rerankd.engines.encoder import tensor_shapes as encoder_shapes

TOKENIZERS = Path(__file__).parents[1] / "tests" / "checkpoints"
REQUESTS, ROWS, TOKENS = 50, 2, 64
POLL_S = 0.002
Stored = Literal["F32", "F16", "BF16"]
BYTES: dict[Stored, int] = {"F32": 4, "F16": 2, "BF16": 2}


@dataclass(frozen=True)
class Case:
    """One checkpoint."""

    config: EncoderConfig | DecoderConfig
    stored: Stored = "F32"

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Its tensors, under the names that a checkpoint gives them."""
        if isinstance(self.config, DecoderConfig):
            return {f"model.{name}": size for name, size in decoder_shapes(self.config).items()}
        prefix = "bert." if self.config.architecture == "bert" else "roberta."
        return {
            name if name.startswith("classifier") else f"{prefix}{name}": size
            for name, size in encoder_shapes(self.config).items()
        }

    @property
    def parameters(self) -> int:
        """How many numbers its tensors hold."""
        return sum(math.prod(size) for size in self.shapes.values())


MINILM = EncoderConfig(
    architecture="bert",
    hidden=384,
    layers=6,
    heads=12,
    intermediate=1536,
    vocab=30522,
    positions=512,
    token_types=2,
    layer_norm_eps=1e-12,
    labels=1,
    pad_id=0,
)
XLMR_BASE = EncoderConfig(
    architecture="xlm-roberta",
    hidden=768,
    layers=12,
    heads=12,
    intermediate=3072,
    vocab=250002,
    positions=514,
    token_types=1,
    layer_norm_eps=1e-5,
    labels=1,
    pad_id=1,
)
QWEN3 = DecoderConfig(
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
CASES = {
    "minilm": Case(MINILM),
    "xlmr-base": Case(XLMR_BASE),
    "xlmr-base-fp16": Case(XLMR_BASE, "F16"),
    "xlmr-large-4": Case(replace(XLMR_BASE, hidden=1024, heads=16, intermediate=4096, layers=4)),
    "qwen3-bf16": Case(QWEN3, "BF16"),
    "qwen3-fp32": Case(QWEN3),
    "qwen3-4-bf16": Case(replace(QWEN3, layers=4), "BF16"),
}


def stored(values: npt.NDArray[np.float32], kind: Stored) -> npt.NDArray[Any]:
    """As the file holds them; bfloat16 is the upper half of a float32, cut."""
    if kind == "BF16":
        return (values.view(np.uint32) >> 16).astype("<u2")
    return values.astype("<f4" if kind == "F32" else "<f2", copy=False)


def write(folder: Path, case: Case) -> None:
    """The checkpoint, tensor by tensor, so that writing it takes little memory."""
    folder.mkdir(parents=True)
    header: dict[str, Any] = {}
    end = 0
    for name, size in case.shapes.items():
        start, end = end, end + math.prod(size) * BYTES[case.stored]
        header[name] = {"dtype": case.stored, "shape": size, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # as the safetensors library does
    rng = np.random.default_rng(1)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, size in case.shapes.items():
            values = rng.standard_normal(size, dtype=np.float32)
            if len(size) == 1:
                values *= np.float32(0.1)
                values += np.float32("norm" in name.lower() and name.endswith("weight"))
            else:  # attention far from uniform, so that scores differ
                values *= np.float32(0.05 if "embed" in name else 2 * size[-1] ** -0.5)
            file.write(stored(values, case.stored).data)
    config = case.config
    fields: dict[str, object] = {
        "hidden_size": config.hidden,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "intermediate_size": config.intermediate,
        "vocab_size": config.vocab,
    }
    if isinstance(config, DecoderConfig):
        tokenizer = "tokenizer-qwen.json"
        fields |= {
            "architectures": ["Qwen3ForCausalLM"],
            "model_type": "qwen3",
            "num_key_value_heads": config.kv_heads,
            "head_dim": config.head_dim,
            "max_position_embeddings": config.max_length,
            "rope_theta": config.rope_theta,
            "tie_word_embeddings": config.tied,
        }
    else:
        bert = config.architecture == "bert"
        tokenizer = f"tokenizer-{config.architecture}.json"
        name = "Bert" if bert else "XLMRoberta"
        fields |= {
            "architectures": [f"{name}ForSequenceClassification"],
            "model_type": config.architecture,
            "max_position_embeddings": config.positions,
            "type_vocab_size": config.token_types,
            "layer_norm_eps": config.layer_norm_eps,
            "num_labels": config.labels,
            "pad_token_id": config.pad_id,
        }
    (folder / "tokenizer.json").write_bytes((TOKENIZERS / tokenizer).read_bytes())
    (folder / "config.json").write_text(json.dumps(fields), encoding="utf-8")


def status(pid: int | str = "self") -> dict[str, int]:
    """Memory of a process in bytes, by the names of /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return {line.split(":")[0]: int(line.split()[1]) << 10 for line in lines if line.endswith("kB")}


def age_s() -> float:
    """Seconds since this process was started."""
    started = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19]
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(started) / os.sysconf("SC_CLK_TCK")


def child(folder: Path) -> None:
    """In the fresh process: load, serve, and say what it took."""
    from rerankd.models.base import pointwise
    from rerankd.models.load import load, resolve  # here: it is part of what is timed

    model = pointwise(load(resolve(str(folder))).model)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    report: dict[str, Any] = {
        "ready_s": age_s(),
        "ready_cpu_s": usage.ru_utime + usage.ru_stime,
        "ready": status(),
    }
    vocab = json.loads((folder / "config.json").read_text(encoding="utf-8"))["vocab_size"]
    rng = np.random.default_rng(2)
    print("loaded", flush=True)
    start = time.process_time()
    for _ in range(REQUESTS):
        ids = rng.integers(5, vocab, (ROWS, TOKENS), dtype=np.int32)
        model.engine.forward([Row(row, 1) for row in ids])
    report |= {"served": status(), "served_cpu_s": time.process_time() - start}
    print(json.dumps(report), flush=True)


def measure(folder: Path) -> dict[str, Any]:
    """A child's report, and its peak of private memory while loading and in all."""
    process = subprocess.Popen(  # noqa: S603 - itself
        [sys.executable, __file__, str(folder), "--child"], stdout=subprocess.PIPE, bufsize=0
    )
    out = process.stdout
    if out is None:
        raise RuntimeError("no pipe")
    os.set_blocking(out.fileno(), False)
    peak, loading, said = 0, None, b""
    while process.poll() is None:
        peak = max(peak, status(process.pid).get("RssAnon", 0))
        said += out.read() or b""  # None while there is nothing
        if loading is None and b"loaded" in said:
            loading = peak
        time.sleep(POLL_S)
    said += out.read() or b""
    report = json.loads(said.splitlines()[-1])
    return report | {"peak": peak, "loading_peak": loading}


def main() -> None:
    """Print one line of a table per case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("cases", nargs="*", help=", ".join(CASES))
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.folder)
        return
    print(
        "| case | file MB | fp32 weights MB | private peak, loading | peak over weights "
        "| private, ready | private, after 50 | file pages, after 50 | VmHWM | ready s "
        "| ready CPU s | 50 batches, CPU s |"
        f"\n|{'---|' * 12}"
    )
    for name in args.cases or CASES:
        folder = args.folder / name
        if not folder.exists():
            write(folder, CASES[name])
        file = folder / "model.safetensors"
        if args.cold:
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
                os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        weights = CASES[name].parameters * 4
        got = measure(folder)
        sizes = (
            f"{each / 1e6:.0f}"
            for each in (
                got["ready"]["RssAnon"],
                got["served"]["RssAnon"],
                got["served"]["RssFile"],
                got["served"]["VmHWM"],
            )
        )
        print(
            f"| {name} | {file.stat().st_size / 1e6:.0f} | {weights / 1e6:.0f} "
            f"| {got['loading_peak'] / 1e6:.0f} | {got['peak'] / weights:.2f} "
            f"| {' | '.join(sizes)} "
            f"| {got['ready_s']:.1f} | {got['ready_cpu_s']:.1f} | {got['served_cpu_s']:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
