"""A checkpoint folder of a decoder (Qwen3, Qwen2) as sizes, tokenizer and tensors.

As models.checkpoint: nothing in the folder is executed, and config.json decides the family.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from rerankd.core.errors import StartError
from rerankd.engines.decoder import Architecture, DecoderConfig, tensor_shapes
from rerankd.models.folder_file import read_json, shown
from rerankd.models.sizes import Layers, Positive, Size
from rerankd.models.tokenizer_config import read_tokenizer_config
from rerankd.models.tokenizer_file import read_tokenizer
from rerankd.models.unsupported import refuse_unsupported
from rerankd.models.weights import SafetensorsFolder

if TYPE_CHECKING:
    from tokenizers import Tokenizer

LISTWISE: Final = "JinaForRanking"  # the body alone: its windows and head are read elsewhere
_ARCHITECTURES: dict[str, Architecture] = {
    "Qwen3ForCausalLM": "qwen3",
    "Qwen2ForCausalLM": "qwen2",
    LISTWISE: "qwen3",
}
_DEFAULT_ROPE_THETA = 10_000.0


class _Rope(msgspec.Struct):
    """`rope_parameters` (transformers 5) or `rope_scaling` (older), as far as it is supported."""

    rope_theta: Positive | None = None
    rope_type: str | None = None
    type: str | None = None  # rope_type's older name


class _Config(msgspec.Struct):
    """The fields of config.json that change what is computed; defaults are transformers'."""

    model_type: str
    architectures: list[str]
    hidden_size: Size
    num_hidden_layers: Layers
    num_attention_heads: Size
    intermediate_size: Size
    vocab_size: Size
    num_key_value_heads: Size | None = None
    head_dim: Size | None = None
    max_position_embeddings: Size = 32768
    rms_norm_eps: Positive = 1e-6
    hidden_act: str = "silu"
    rope_theta: Positive | None = None
    rope_parameters: _Rope | None = None
    rope_scaling: _Rope | None = None
    attention_bias: bool = False
    use_sliding_window: bool = False
    tie_word_embeddings: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderCheckpoint:
    """An opened folder; tensors are still on disk."""

    folder: Path
    config: DecoderConfig
    tokenizer: Tokenizer  # without truncation and padding
    model_max_length: int | None  # tokenizer_config.json's, when it is a real limit
    weights: SafetensorsFolder


def open_decoder(folder: Path) -> DecoderCheckpoint:
    """Read and check a folder.

    Raises:
        StartError: a file is missing or damaged, the architecture is not supported, or the
            tensors are not exactly those that it needs; the message says what to do.
    """
    config = read_decoder_config(folder)
    weights = SafetensorsFolder(folder, prefix="model.")
    # some checkpoints with a tied head bring a copy of it
    weights.require(tensor_shapes(config), unread=("lm_head.",) if config.tied else ())
    return DecoderCheckpoint(
        folder=folder,
        config=config,
        tokenizer=read_tokenizer(folder, config.vocab),
        model_max_length=read_tokenizer_config(folder).window_tokens,
        weights=weights,
    )


def read_decoder_config(folder: Path) -> DecoderConfig:
    """The sizes in config.json. Raises StartError as open_decoder()."""
    return _decoder_config(read_json(folder / "config.json", _Config), folder)


def _decoder_config(raw: _Config, folder: Path) -> DecoderConfig:
    name = raw.architectures[0] if raw.architectures else "(none)"
    architecture = _ARCHITECTURES.get(name)
    if architecture is None or architecture != raw.model_type:
        known = ", ".join(f"{name} ({each})" for name, each in _ARCHITECTURES.items())
        raise StartError(
            f"{folder}/config.json: architecture {shown(name)[1:-1]} with model_type "
            f"{shown(raw.model_type)} is no decoder that is supported; supported are {known}."
        )
    heads, kv_heads = raw.num_attention_heads, raw.num_key_value_heads or raw.num_attention_heads
    head_dim = _head_dim(raw, architecture)
    rope = raw.rope_parameters or raw.rope_scaling or _Rope()
    rope_type = rope.rope_type or rope.type or "default"
    theta = rope.rope_theta or raw.rope_theta or _DEFAULT_ROPE_THETA
    wrong = {
        f"hidden_act {raw.hidden_act!r} (only 'silu')": raw.hidden_act != "silu",
        f"rope type {rope_type!r} (only 'default')": rope_type != "default",
        "use_sliding_window true": raw.use_sliding_window and name != LISTWISE,
        f"head size {head_dim} (only even ones)": head_dim % 2 != 0,
        f"num_attention_heads {heads}, which num_key_value_heads {kv_heads} does not divide": (
            heads % kv_heads != 0
        ),
        f"hidden_size {raw.hidden_size}, which num_attention_heads {heads} does not divide": (
            raw.head_dim is None and raw.hidden_size % heads != 0
        ),
    }
    refuse_unsupported(folder / "config.json", wrong)
    return DecoderConfig(
        architecture=architecture,
        hidden=raw.hidden_size,
        layers=raw.num_hidden_layers,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        intermediate=raw.intermediate_size,
        vocab=raw.vocab_size,
        max_length=raw.max_position_embeddings,
        rms_norm_eps=raw.rms_norm_eps,
        rope_theta=theta,
        attention_bias=architecture == "qwen2" or raw.attention_bias,
        output_bias=architecture == "qwen3" and raw.attention_bias,
        tied=raw.tie_word_embeddings,
    )


def _head_dim(raw: _Config, architecture: Architecture) -> int:
    """Qwen3's default is 128, Qwen2's is hidden size over heads."""
    if raw.head_dim is not None:
        return raw.head_dim
    return 128 if architecture == "qwen3" else raw.hidden_size // raw.num_attention_heads
