"""A checkpoint folder of a decoder (Qwen3, Qwen2, Mistral, Gemma) as sizes, tokenizer and tensors.

As models.checkpoint: nothing in the folder is executed, and config.json decides the family.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from rerankd.core.errors import StartError
from rerankd.engines.bidirectional_config import BidirectionalConfig
from rerankd.engines.decoder import Architecture, DecoderConfig, tensor_shapes
from rerankd.models.bidirectional_fields import bidirectional_config
from rerankd.models.folder_file import read_json, shown
from rerankd.models.label_names import relevant_label
from rerankd.models.sizes import Layers, Positive, Size
from rerankd.models.tokenizer_config import read_tokenizer_config
from rerankd.models.tokenizer_file import read_tokenizer
from rerankd.models.unsupported import refuse_unsupported
from rerankd.models.weights import SafetensorsFolder

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BIDIRECTIONAL: Final = "LlamaBidirectionalForSequenceClassification"
LISTWISE: Final = "JinaForRanking"  # the body alone: its windows and head are read elsewhere


@dataclass(frozen=True, slots=True, kw_only=True)
class _Family:
    """How one `architectures` entry is read; the defaults are those of transformers' config."""

    architecture: Architecture
    classifies: bool = False  # with a head of its own, `score`
    head_dim: int | None = None  # None = hidden size over heads
    kv_heads: int | None = None  # None = as many as heads
    positions: int = 32_768
    activations: tuple[str, ...] = ("silu",)
    tied: bool = False
    model_type: str | None = None  # None = the architecture's name
    ropes: tuple[str, ...] = ("default",)
    slides: bool = False  # whether `sliding_window` alone narrows what a token sees


_QWEN3 = _Family(architecture="qwen3", head_dim=128)
_QWEN2 = _Family(architecture="qwen2")
_FAMILIES = {
    "Qwen3ForCausalLM": _QWEN3,
    "Qwen2ForCausalLM": _QWEN2,
    "MistralForCausalLM": _Family(
        architecture="mistral", kv_heads=8, positions=131_072, slides=True
    ),
    # transformers reads its legacy "gelu" as the tanh form too
    "GemmaForCausalLM": _Family(
        architecture="gemma",
        head_dim=256,
        kv_heads=16,
        positions=8192,
        activations=("gelu_pytorch_tanh", "gelu"),
        tied=True,
    ),
    "Qwen3ForSequenceClassification": replace(_QWEN3, classifies=True),
    "Qwen2ForSequenceClassification": replace(_QWEN2, classifies=True),
    LISTWISE: _QWEN3,
    BIDIRECTIONAL: _Family(
        architecture="llama",
        classifies=True,
        positions=2048,
        model_type="llama_bidirec",
        ropes=("default", "llama3"),
    ),
}
_DEFAULT_ROPE_THETA = 10_000.0
_MISTRAL_WINDOW = 4096  # where config.json does not say


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
    max_position_embeddings: Size | None = None
    rms_norm_eps: Positive = 1e-6
    hidden_act: str | None = None
    rope_theta: Positive | None = None
    rope_parameters: _Rope | None = None
    rope_scaling: _Rope | None = None
    attention_bias: bool = False
    mlp_bias: bool = False
    is_causal: bool = True  # of transformers 5
    use_sliding_window: bool = False
    sliding_window: int | msgspec.UnsetType | None = msgspec.UNSET
    tie_word_embeddings: bool | None = None
    id2label: dict[str, object] | None = None
    num_labels: Size | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderCheckpoint:
    """An opened folder; tensors are still on disk."""

    folder: Path
    config: DecoderConfig
    tokenizer: Tokenizer  # without truncation and padding
    model_max_length: int | None  # tokenizer_config.json's, when it is a real limit
    weights: SafetensorsFolder
    bidirectional: BidirectionalConfig | None = None  # of one that is read as an encoder
    relevant: int = 1  # of two labels, the one that speaks for a document


def open_decoder(folder: Path, *, are_kept: bool = True) -> DecoderCheckpoint:
    """Read and check a folder.

    Args:
        folder: of the checkpoint.
        are_kept: as SafetensorsFolder has it.

    Raises:
        StartError: a file is missing or damaged, the architecture is not supported, or the
            tensors are not exactly those that it needs; the message says what to do.
    """
    config = read_decoder_config(folder)
    weights = SafetensorsFolder(folder, prefix="model.", are_kept=are_kept)
    # some checkpoints with a tied head, or with a classifier's, bring the language model's too
    is_unread = config.tied or config.labels > 0
    weights.require(tensor_shapes(config), unread=("lm_head.",) if is_unread else ())
    return DecoderCheckpoint(
        folder=folder,
        config=config,
        tokenizer=read_tokenizer(folder, config.vocab),
        model_max_length=read_tokenizer_config(folder).window_tokens,
        weights=weights,
        bidirectional=(
            bidirectional_config(config, folder) if config.architecture == "llama" else None
        ),
        relevant=relevant_label(folder / "config.json") if config.labels else 1,
    )


def read_decoder_config(folder: Path) -> DecoderConfig:
    """The sizes in config.json. Raises StartError as open_decoder()."""
    return _decoder_config(read_json(folder / "config.json", _Config), folder)


def _decoder_config(raw: _Config, folder: Path) -> DecoderConfig:
    name = raw.architectures[0] if raw.architectures else "(none)"
    family = _FAMILIES.get(name)
    if family is None or (family.model_type or family.architecture) != raw.model_type:
        known = ", ".join(
            f"{name} ({each.model_type or each.architecture})" for name, each in _FAMILIES.items()
        )
        raise StartError(
            f"{folder}/config.json: architecture {shown(name)[1:-1]} with model_type "
            f"{shown(raw.model_type)} is no decoder that is supported; supported are {known}."
        )
    architecture, heads = family.architecture, raw.num_attention_heads
    kv_heads = raw.num_key_value_heads or family.kv_heads or heads
    head_dim = raw.head_dim or family.head_dim or raw.hidden_size // heads
    labels = _labels(raw) if family.classifies else 0
    positions = raw.max_position_embeddings or family.positions
    activation = raw.hidden_act or family.activations[0]
    window = _window(raw)
    rope = raw.rope_parameters or raw.rope_scaling or _Rope()
    rope_type = rope.rope_type or rope.type or "default"
    theta = rope.rope_theta or raw.rope_theta or _DEFAULT_ROPE_THETA
    wrong = {
        f"hidden_act {activation!r} (only {family.activations[0]!r})": (
            activation not in family.activations
        ),
        f"rope type {rope_type!r} (only {' and '.join(map(repr, family.ropes))})": (
            rope_type not in family.ropes
        ),
        "attention_bias true": architecture == "llama" and raw.attention_bias,
        "mlp_bias true": raw.mlp_bias,
        "is_causal false": not raw.is_causal and architecture != "llama",
        "use_sliding_window true": raw.use_sliding_window and name != LISTWISE,
        f"sliding_window {window} (only null)": family.slides and window < positions,
        f"{labels} labels (only 1, or 2 = irrelevant and relevant)": (
            family.classifies and labels not in (1, 2)
        ),
        f"head size {head_dim} (only even ones)": head_dim % 2 != 0,
        f"num_attention_heads {heads}, which num_key_value_heads {kv_heads} does not divide": (
            heads % kv_heads != 0
        ),
        f"hidden_size {raw.hidden_size}, which num_attention_heads {heads} does not divide": (
            raw.head_dim is None and family.head_dim is None and raw.hidden_size % heads != 0
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
        max_length=positions,
        rms_norm_eps=raw.rms_norm_eps,
        rope_theta=theta,
        attention_bias=architecture == "qwen2"
        or (architecture != "mistral" and raw.attention_bias),
        output_bias=architecture in ("qwen3", "gemma") and raw.attention_bias,
        tied=family.tied if raw.tie_word_embeddings is None else raw.tie_word_embeddings,
        labels=labels,
    )


def _labels(raw: _Config) -> int:
    """Of a classifier; transformers' default is two."""
    return len(raw.id2label) if raw.id2label is not None else raw.num_labels or 2


def _window(raw: _Config) -> float:
    """Tokens that a token of Mistral's sees."""
    window = _MISTRAL_WINDOW if raw.sliding_window is msgspec.UNSET else raw.sliding_window
    return math.inf if window is None else window
