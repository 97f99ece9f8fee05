"""A made-up checkpoint of Qwen3's form, in bf16.

The weights are made up as trained ones are spread, as far as it matters for rounding: entries by
Student's t with 5 degrees of freedom; rows of log-normal size (0.25); 6 channels of the residual
stream that every layer writes to with 20 times the size (log-normal, 0.5); norms log-normal (0.3),
half as large where a channel is loud; in each layer 10 rows of gate_proj and up_proj of 4 times the
size, so that inner channels are 16 times as loud.
"""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
SIZES = {  # hidden, layers, query heads, key heads, inner
    "0.6B": (1024, 28, 16, 8, 3072),
    "4B": (2560, 36, 32, 8, 9728),
}
HEAD_DIM, VOCAB = 128, 151_669
YES, NO = 9693, 2152  # ids of Qwen3's tokenizer
EPS, THETA = 1e-6, 1e6
LOUD, LOUD_GAIN, INNER_LOUD, INNER_GAIN = 6, 20.0, 10, 4.0
SEQUENCES = 11  # of 180 tokens in llama.cpp's batch of 2048


def config(size: str, layers: int | None) -> dict[str, Any]:
    """config.json."""
    hidden, most, heads, kv_heads, inner = SIZES[size]
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "hidden_size": hidden,
        "num_hidden_layers": layers or most,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": HEAD_DIM,
        "intermediate_size": inner,
        "vocab_size": VOCAB,
        "max_position_embeddings": 40960,
        "rms_norm_eps": EPS,
        "rope_theta": THETA,
        "tie_word_embeddings": True,
    }


def shapes(made: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Tensors without their prefix."""
    h, inner = made["hidden_size"], made["intermediate_size"]
    q, kv = (made[f"num_{part}_heads"] * HEAD_DIM for part in ("attention", "key_value"))
    found: dict[str, tuple[int, ...]] = {"embed_tokens.weight": (VOCAB, h), "norm.weight": (h,)}
    parts = {
        "self_attn.q_proj": (q, h),
        "self_attn.k_proj": (kv, h),
        "self_attn.v_proj": (kv, h),
        "self_attn.o_proj": (h, q),
        "self_attn.q_norm": (HEAD_DIM,),
        "self_attn.k_norm": (HEAD_DIM,),
        "input_layernorm": (h,),
        "post_attention_layernorm": (h,),
        "mlp.gate_proj": (inner, h),
        "mlp.up_proj": (inner, h),
        "mlp.down_proj": (h, inner),
    }
    for layer in range(made["num_hidden_layers"]):
        found |= {f"layers.{layer}.{name}.weight": size for name, size in parts.items()}
    return found


def tensor(name: str, shape: tuple[int, ...], hidden: int) -> Floats:
    """One tensor, as the module says."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    loud = np.random.default_rng(1)
    channels = loud.choice(hidden, LOUD, replace=False)
    gains = np.float32(LOUD_GAIN) * np.exp(0.5 * loud.standard_normal(LOUD)).astype(np.float32)
    if len(shape) == 1:
        made = np.exp(0.3 * rng.standard_normal(shape)).astype(np.float32)
        if shape[0] == hidden:
            made[channels] *= np.float32(0.5)
        return made
    spread = rng.chisquare(5, shape).astype(np.float32) / np.float32(5)
    made = np.divide(
        rng.standard_normal(shape, dtype=np.float32), np.sqrt(spread), dtype=np.float32
    )
    made *= np.float32(math.sqrt(3 / 5 / shape[1]))
    made *= np.exp(0.25 * rng.standard_normal((shape[0], 1))).astype(np.float32)
    if name.endswith(("o_proj.weight", "down_proj.weight")):
        made[channels] *= gains[:, None]
    elif name.endswith(("gate_proj.weight", "up_proj.weight")):
        layer = np.random.default_rng(int(name.split(".")[1]))
        made[layer.choice(shape[0], INNER_LOUD, replace=False)] *= np.float32(INNER_GAIN)
    return made


def bf16(values: Floats) -> npt.NDArray[np.uint16]:
    """Rounded to the nearest, ties to even."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def write(folder: Path, made: dict[str, Any]) -> None:
    """config.json and model.safetensors, tensor by tensor."""
    (folder / "config.json").write_text(json.dumps(made), encoding="utf-8")
    header: dict[str, Any] = {}
    at = 0
    for name, shape in shapes(made).items():
        end = at + 2 * math.prod(shape)
        header[f"model.{name}"] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in shapes(made).items():
            bf16(tensor(name, shape, made["hidden_size"])).tofile(file)


def documents(prefix: int, count: int, tokens: int) -> list[list[int]]:
    """Rows of one request."""
    rng = np.random.default_rng(prefix)
    head = rng.integers(0, VOCAB, prefix).tolist()
    return [head + rng.integers(0, VOCAB, tokens).tolist() for _ in range(count)]
