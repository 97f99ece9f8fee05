"""Decoder checkpoints with made-up weights in the forms of Qwen3 and Qwen2, written by numpy alone.

As make_checkpoints: weights from the raw bits of PCG64, so the committed golden logits hold
wherever the tests run. `python -m tests.reference.make_decoder_checkpoints` trains the byte-level
tokenizer again; with a folder behind it, it writes a checkpoint of the true width of
Qwen3-Reranker-0.6B with two layers and the small vocabulary there.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType] - PathLike
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)
from tokenizers.trainers import BpeTrainer

from tests.reference.make_checkpoints import HERE, Tensors, uniform

VOCAB = 2000
TOKENIZER = HERE / "tokenizer-qwen.json"
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
THINK = ["<think>", "</think>"]  # added tokens that are not special, as in Qwen3's tokenizer
# Source: tokenizer.json of Qwen2 and Qwen3.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Sizes of a checkpoint; `shards` > 1 also means half precision and the older config.json."""

    family: str  # "qwen3" or "qwen2"
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    tied: bool
    positions: int = 40960
    shards: int = 1


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
GOLDEN_SHAPES = {"tiny-qwen3": TINY_QWEN3, "tiny-qwen2": TINY_QWEN2}


def tensors(shape: Shape) -> Tensors:
    """All tensors under the names that transformers gives them."""
    h, made = shape.hidden, Tensors()

    def linear(name: str, outputs: int, inputs: int, gain: float = 1.0) -> None:
        made[f"{name}.weight"] = uniform(name, (outputs, inputs), gain / math.sqrt(inputs))

    def norm(name: str, size: int) -> None:
        made[f"{name}.weight"] = 1.0 + uniform(name, (size,), 0.2)

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
    if not shape.tied:
        linear("lm_head", VOCAB, h, 2.0)
    return made


def config(shape: Shape) -> dict[str, object]:
    """config.json: transformers 5 writes rope_parameters, older checkpoints rope_theta."""
    qwen3, old = shape.family == "qwen3", shape.shards > 1
    rope: dict[str, object] = {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}
    return {
        "architectures": ["Qwen3ForCausalLM" if qwen3 else "Qwen2ForCausalLM"],
        "model_type": shape.family,
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        **({"head_dim": shape.head_dim, "attention_bias": False} if qwen3 else {}),
        "intermediate_size": shape.intermediate,
        "vocab_size": VOCAB,
        "max_position_embeddings": shape.positions,
        "rms_norm_eps": 1e-6,
        "hidden_act": "silu",
        **({"rope_theta": 1e6, "rope_scaling": None} if old else rope),
        "use_sliding_window": False,
        "sliding_window": None,
        "tie_word_embeddings": shape.tied,
        "bos_token_id": 0,
        "eos_token_id": 2,
    }


def tokenizer_config(shape: Shape) -> dict[str, object]:
    """tokenizer_config.json."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": 131072,
        "model_input_names": ["input_ids", "attention_mask"],
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "clean_up_tokenization_spaces": False,
    }


def write(folder: Path, shape: Shape) -> Path:
    """Write a checkpoint, sharded where the shape says so."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in (
        ("config.json", config(shape)),
        ("tokenizer_config.json", tokenizer_config(shape)),
    ):
        (folder / name).write_text(json.dumps(data, indent=1), encoding="utf-8")
    (folder / "tokenizer.json").write_bytes(TOKENIZER.read_bytes())
    made: dict[str, Any] = dict(tensors(shape))
    if shape.shards == 1:
        save_file(made, folder / "model.safetensors")
        return folder
    weight_map: dict[str, str] = {}
    for shard in range(shape.shards):
        file = f"model-{shard + 1:05}-of-{shape.shards:05}.safetensors"
        part = {n: made[n].astype(np.float16) for n in list(made)[shard :: shape.shards]}
        save_file(part, folder / file)
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


def train_tokenizer(texts: list[str]) -> Tokenizer:
    """Byte-level BPE as Qwen's, with VOCAB entries."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = BpeTrainer(
        vocab_size=VOCAB - len(THINK),
        special_tokens=SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*texts, "yes\nno\n" * 1000], trainer)
    added = [AddedToken(token, normalized=False) for token in THINK]
    tokenizer.add_tokens(added)  # pyright: ignore[reportUnknownMemberType] - a bare list there
    return tokenizer


def main() -> None:
    """Train the tokenizer on the texts of pairs.jsonl, or write the wide checkpoint."""
    if len(sys.argv) > 1:
        write(Path(sys.argv[1]), WIDE_QWEN3)
        return
    lines = (HERE / "pairs.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)[key] for line in lines for key in ("query", "document")]
    train_tokenizer(texts).save(str(TOKENIZER), pretty=False)


if __name__ == "__main__":
    main()
