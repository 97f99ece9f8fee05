"""Decoder checkpoints with made-up weights in the forms of Qwen3, Qwen2, Mistral, Gemma and Llama.

`python -m tests.checkpoints.decoder FOLDER` writes one of the true width of Qwen3-Reranker-0.6B,
with two layers and the small vocabulary.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.checkpoints.made import (
    Tensors,
    tokenizer_config,
    tokenizer_file,
    uniform,
    write_folder,
)

VOCAB = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Sizes of a checkpoint; `shards` > 1 also means half precision and the older config.json."""

    family: str  # "qwen3", "qwen2", "mistral", "gemma" or "llama"
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    tied: bool
    positions: int = 40960
    shards: int = 1
    labels: int = 0  # of a classifier's head; 0 = a language model


TINY_QWEN3 = Shape(
    family="qwen3",
    hidden=48,
    layers=3,
    heads=4,
    kv_heads=2,
    head_dim=32,  # not hidden / heads, as in Qwen3-0.6B
    intermediate=96,
    tied=True,
)
TINY_QWEN2 = Shape(
    family="qwen2",
    hidden=60,
    layers=3,
    heads=6,
    kv_heads=2,
    head_dim=10,
    intermediate=88,
    tied=False,
    shards=3,
)
WIDE_QWEN3 = Shape(
    family="qwen3",
    hidden=1024,
    layers=2,
    heads=16,
    kv_heads=8,
    head_dim=128,
    intermediate=3072,
    tied=True,
)
WIDE_QWEN2 = Shape(  # mxbai-rerank-base-v2
    family="qwen2",
    hidden=896,
    layers=2,
    heads=14,
    kv_heads=2,
    head_dim=64,
    intermediate=4864,
    tied=True,
)
TINY_MISTRAL = Shape(
    family="mistral",
    hidden=48,
    layers=3,
    heads=6,
    kv_heads=3,
    head_dim=16,  # not hidden / heads
    intermediate=80,
    tied=False,
)
TINY_GEMMA = Shape(
    family="gemma",
    hidden=40,
    layers=3,
    heads=4,
    kv_heads=1,
    head_dim=24,  # not hidden / heads
    intermediate=96,
    tied=True,
    positions=8192,
)
WIDE_GEMMA = Shape(  # bge-reranker-v2-gemma
    family="gemma",
    hidden=2048,
    layers=2,
    heads=8,
    kv_heads=1,
    head_dim=256,
    intermediate=16384,
    tied=True,
    positions=8192,
)
WIDE_LLAMA = Shape(  # llama-nemotron-rerank-1b-v2: Llama-3.2-1B with one label
    family="llama",
    hidden=2048,
    layers=2,
    heads=32,
    kv_heads=8,
    head_dim=64,
    intermediate=8192,
    tied=False,
    positions=131072,
    labels=1,
)
GOLDEN_SHAPES = {"tiny-qwen3": TINY_QWEN3, "tiny-qwen2": TINY_QWEN2}


def tensors(shape: Shape) -> Tensors:
    """All tensors under the names that transformers gives them."""
    h, made = shape.hidden, Tensors()

    def linear(name: str, outputs: int, inputs: int, gain: float = 1.0) -> None:
        made[f"{name}.weight"] = uniform(name, (outputs, inputs), gain / math.sqrt(inputs))

    def norm(name: str, size: int) -> None:
        offset = 0.0 if shape.family == "gemma" else 1.0  # Gemma's multiply by 1 + w
        made[f"{name}.weight"] = np.float32(offset) + uniform(name, (size,), 0.2)

    made["model.embed_tokens.weight"] = uniform("embed_tokens", (VOCAB, h), 2.0 / math.sqrt(h))
    q, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    for layer in range(shape.layers):
        block = f"model.layers.{layer}"
        for part, outputs, gain in (("q", q, 1.6), ("k", kv, 1.6), ("v", kv, 1.0)):
            name = f"{block}.self_attn.{part}_proj"
            linear(name, outputs, h, gain)
            if shape.family == "qwen2":
                made[f"{name}.bias"] = uniform(f"{name}.bias", (outputs,), 0.2)
        if shape.family == "qwen3":
            norm(f"{block}.self_attn.q_norm", shape.head_dim)
            norm(f"{block}.self_attn.k_norm", shape.head_dim)
        linear(f"{block}.self_attn.o_proj", h, q, 2.0)
        norm(f"{block}.input_layernorm", h)
        norm(f"{block}.post_attention_layernorm", h)
        linear(f"{block}.mlp.gate_proj", shape.intermediate, h)
        linear(f"{block}.mlp.up_proj", shape.intermediate, h)
        linear(f"{block}.mlp.down_proj", h, shape.intermediate)
    norm("model.norm", h)
    if shape.labels:
        linear("score", shape.labels, h, 2.0)
    elif not shape.tied:
        linear("lm_head", VOCAB, h, 2.0)
    return made


def config(shape: Shape) -> dict[str, object]:
    """config.json: transformers 5 writes rope_parameters, older checkpoints rope_theta."""
    qwen3, old = shape.family == "qwen3", shape.shards > 1
    kind = "SequenceClassification" if shape.labels else "CausalLM"
    names = {"id2label": {str(i): f"LABEL_{i}" for i in range(shape.labels)}}
    has_size = shape.family in ("qwen3", "mistral", "gemma")
    rope: dict[str, object] = {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}
    return {
        "architectures": [f"{shape.family.capitalize()}For{kind}"],
        "model_type": shape.family,
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        **({"head_dim": shape.head_dim} if has_size else {}),
        **({"attention_bias": False} if qwen3 else {}),
        **(names if shape.labels else {}),
        "intermediate_size": shape.intermediate,
        "vocab_size": VOCAB,
        "max_position_embeddings": shape.positions,
        "rms_norm_eps": 1e-6,
        "hidden_act": "gelu" if shape.family == "gemma" else "silu",
        **({"rope_theta": 1e6, "rope_scaling": None} if old else rope),
        "use_sliding_window": False,
        "sliding_window": None,
        "tie_word_embeddings": shape.tied,
        "bos_token_id": 0,
        "eos_token_id": 2,
    }


def write(folder: Path, shape: Shape) -> Path:
    """Write a checkpoint, sharded where the shape says so."""
    tokens = {"eos": "<|im_end|>", "pad": "<|endoftext|>"}
    return write_folder(
        folder,
        config=config(shape),
        tokenizer_config=tokenizer_config(
            tokens, window=131072, clean_up_tokenization_spaces=False
        ),
        tokenizer=tokenizer_file("qwen").read_text(encoding="utf-8"),
        tensors=tensors(shape),
        shards=shape.shards,
    )


if __name__ == "__main__":
    write(Path(sys.argv[1]), WIDE_QWEN3)
