"""Qwen3-VL checkpoints with made-up weights.

As decoder.py, with the tokens of pictures as well. The structure is the published one: deepstack
from three depths of the tower, interleaved M-RoPE in three sections, a position table that is
stretched over the picture. `python -m tests.checkpoints.vision FOLDER` writes the tiny one.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from tokenizers import AddedToken, Tokenizer

from tests.checkpoints.decoder import VOCAB
from tests.checkpoints.made import (
    Tensors,
    tokenizer_config,
    tokenizer_file,
    uniform,
    write_folder,
)

PICTURES = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
IDS = {token: VOCAB + i for i, token in enumerate(PICTURES)}
WORDS = VOCAB + 8  # more rows than the tokenizer has ids, as published


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Sizes of a checkpoint; `shards` > 1 also means half precision and the older config.json."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    sections: tuple[int, int, int]
    depth: int
    width: int
    vision_heads: int
    vision_intermediate: int
    side: int
    deepstack: tuple[int, ...]
    tied: bool = True
    theta: float = 5e6
    shards: int = 1


TINY = Shape(
    hidden=48,
    layers=5,
    heads=4,
    kv_heads=2,
    head_dim=32,
    intermediate=96,
    sections=(6, 5, 5),
    depth=5,
    width=32,
    vision_heads=2,
    vision_intermediate=56,
    side=12,
    deepstack=(0, 2, 3),
)
TINY_UNTIED = replace(  # heads, sections and position table as published for the 8B model
    TINY,
    hidden=60,
    heads=2,
    kv_heads=1,
    head_dim=128,
    sections=(24, 20, 20),
    width=144,
    vision_heads=2,
    vision_intermediate=200,
    side=48,
    tied=False,
    shards=3,
)
GOLDEN_SHAPES = {"tiny-vl": TINY, "tiny-vl-untied": TINY_UNTIED}


def tensors(shape: Shape) -> Tensors:
    """All tensors under the names that transformers gives them."""
    h, v, made = shape.hidden, shape.width, Tensors()

    def linear(name: str, size: tuple[int, int], gain: float = 1.0, *, bias: bool = False) -> None:
        made[f"{name}.weight"] = uniform(name, size, gain / math.sqrt(size[1]))
        if bias:
            made[f"{name}.bias"] = uniform(f"{name}.bias", size[:1], 0.1)

    def norm(name: str, size: int, *, bias: bool = False) -> None:
        made[f"{name}.weight"] = 1.0 + uniform(name, (size,), 0.2)
        if bias:
            made[f"{name}.bias"] = uniform(f"{name}.bias", (size,), 0.1)

    text, tower = "model.language_model", "model.visual"
    made[f"{text}.embed_tokens.weight"] = uniform("embed_tokens", (WORDS, h), 2.0 / math.sqrt(h))
    q, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    for block in (f"{text}.layers.{i}" for i in range(shape.layers)):
        for part, outputs, gain in (("q", q, 1.6), ("k", kv, 1.6), ("v", kv, 1.0)):
            linear(f"{block}.self_attn.{part}_proj", (outputs, h), gain)
        norm(f"{block}.self_attn.q_norm", shape.head_dim)
        norm(f"{block}.self_attn.k_norm", shape.head_dim)
        linear(f"{block}.self_attn.o_proj", (h, q), 2.0)
        norm(f"{block}.input_layernorm", h)
        norm(f"{block}.post_attention_layernorm", h)
        linear(f"{block}.mlp.gate_proj", (shape.intermediate, h))
        linear(f"{block}.mlp.up_proj", (shape.intermediate, h))
        linear(f"{block}.mlp.down_proj", (h, shape.intermediate))
    norm(f"{text}.norm", h)
    if not shape.tied:
        linear("lm_head", (WORDS, h), 2.0)

    patch = f"{tower}.patch_embed.proj"
    made[f"{patch}.weight"] = uniform(patch, (v, 3, 2, 16, 16), 2.0 / math.sqrt(1536))
    made[f"{patch}.bias"] = uniform(f"{patch}.bias", (v,), 0.1)
    made[f"{tower}.pos_embed.weight"] = uniform("pos_embed", (shape.side**2, v), 0.7)
    for block in (f"{tower}.blocks.{i}" for i in range(shape.depth)):
        norm(f"{block}.norm1", v, bias=True)
        norm(f"{block}.norm2", v, bias=True)
        linear(f"{block}.attn.qkv", (3 * v, v), 1.6, bias=True)
        linear(f"{block}.attn.proj", (v, v), 1.5, bias=True)
        linear(f"{block}.mlp.linear_fc1", (shape.vision_intermediate, v), bias=True)
        linear(f"{block}.mlp.linear_fc2", (v, shape.vision_intermediate), bias=True)
    deep = [f"{tower}.deepstack_merger_list.{i}" for i in range(len(shape.deepstack))]
    for merger in (f"{tower}.merger", *deep):
        norm(f"{merger}.norm", v if merger not in deep else 4 * v, bias=True)
        linear(f"{merger}.linear_fc1", (4 * v, 4 * v), bias=True)
        linear(f"{merger}.linear_fc2", (h, 4 * v), 2.0, bias=True)
    return made


def config(shape: Shape) -> dict[str, object]:
    """config.json: transformers 5 writes rope_parameters, published checkpoints rope_theta."""
    mrope = {
        "mrope_interleaved": True,
        "mrope_section": list(shape.sections),
        "rope_type": "default",
    }
    old = {"rope_theta": shape.theta, "rope_scaling": mrope}
    new = {"rope_parameters": {**mrope, "rope_theta": shape.theta}}
    return {
        "architectures": ["Qwen3VLForConditionalGeneration"],
        "model_type": "qwen3_vl",
        "image_token_id": IDS["<|image_pad|>"],
        "video_token_id": IDS["<|video_pad|>"],
        "vision_start_token_id": IDS["<|vision_start|>"],
        "vision_end_token_id": IDS["<|vision_end|>"],
        "tie_word_embeddings": shape.tied,
        "text_config": {
            "model_type": "qwen3_vl_text",
            "hidden_size": shape.hidden,
            "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.heads,
            "num_key_value_heads": shape.kv_heads,
            "head_dim": shape.head_dim,
            "intermediate_size": shape.intermediate,
            "vocab_size": WORDS,
            "max_position_embeddings": 262144,
            "rms_norm_eps": 1e-6,
            "hidden_act": "silu",
            "attention_bias": False,
            "tie_word_embeddings": shape.tied,
            "bos_token_id": 0,
            "eos_token_id": 2,
            **(old if shape.shards > 1 else new),
        },
        "vision_config": {
            "model_type": "qwen3_vl" if shape.shards > 1 else "qwen3_vl_vision",
            "depth": shape.depth,
            "hidden_size": shape.width,
            "num_heads": shape.vision_heads,
            "intermediate_size": shape.vision_intermediate,
            "out_hidden_size": shape.hidden,
            "num_position_embeddings": shape.side**2,
            "deepstack_visual_indexes": list(shape.deepstack),
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "in_channels": 3,
            "hidden_act": "gelu_pytorch_tanh",
        },
    }


def tokenizer() -> Tokenizer:
    """The decoders' tokenizer and the tokens of pictures."""
    made = Tokenizer.from_file(str(tokenizer_file("qwen")))
    pictures = [AddedToken(token, normalized=False) for token in PICTURES]
    made.add_special_tokens(pictures)  # pyright: ignore[reportUnknownMemberType] - a bare list
    # one token there, so that the answer is opened by five: what the published cutting counts on
    whole = [AddedToken("assistant", normalized=False)]
    made.add_tokens(whole)  # pyright: ignore[reportUnknownMemberType] - as above
    return made


def write(folder: Path, shape: Shape) -> Path:
    """Write a checkpoint, sharded where the shape says so."""
    tokens = {"eos": "<|im_end|>", "pad": "<|endoftext|>"}
    return write_folder(
        folder,
        config=config(shape),
        tokenizer_config=tokenizer_config(
            tokens,
            window=262144,
            additional_special_tokens=["<|im_start|>", "<|im_end|>", *PICTURES],
            clean_up_tokenization_spaces=False,
        ),
        tokenizer=tokenizer().to_str(),
        tensors=tensors(shape),
        shards=shape.shards,
    )


if __name__ == "__main__":
    write(Path(sys.argv[1]), TINY)
