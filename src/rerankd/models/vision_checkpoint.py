"""A checkpoint folder of Qwen3-VL as sizes, tokenizer and tensors.

As models.checkpoint: nothing in the folder is executed, and config.json decides the family.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from rerankd.core.errors import StartError
from rerankd.engines.decoder import DecoderConfig
from rerankd.engines.vision_config import (
    CHANNELS,
    TEMPORAL,
    VisionConfig,
    VisionDecoderConfig,
    tensor_shapes,
)
from rerankd.models.folder_file import read_json, shown
from rerankd.models.sizes import Layers, OptionalSize, Positive, Size, TokenId
from rerankd.models.tokenizer_config import read_tokenizer_config
from rerankd.models.tokenizer_file import read_tokenizer
from rerankd.models.unsupported import refuse_unsupported
from rerankd.models.vision_pixels import FACTOR
from rerankd.models.vision_prompt import SPECIALS, VisionTokens
from rerankd.models.weights import SafetensorsFolder

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ARCHITECTURE = "Qwen3VLForConditionalGeneration"
_MODEL_TYPE = "qwen3_vl"
_DEFAULT_THETA = 500_000.0
_DEFAULT_SECTIONS = (24, 20, 20)


class _Kind(msgspec.Struct):
    """What tells the families apart."""

    architectures: list[str] = []
    model_type: str | None = None


class _Rope(msgspec.Struct):
    """`rope_parameters` (transformers 5) or `rope_scaling` (older), as far as it is supported."""

    rope_theta: Positive | None = None
    rope_type: str | None = None
    mrope_section: tuple[OptionalSize, OptionalSize, OptionalSize] = _DEFAULT_SECTIONS
    mrope_interleaved: bool = True


class _Text(msgspec.Struct):
    """The decoder's fields that change what is computed; defaults are transformers'."""

    hidden_size: Size
    num_hidden_layers: Layers
    num_attention_heads: Size
    intermediate_size: Size
    vocab_size: Size
    num_key_value_heads: Size | None = None
    head_dim: Size = 128
    max_position_embeddings: Size = 128_000
    rms_norm_eps: Positive = 1e-6
    hidden_act: str = "silu"
    rope_theta: Positive | None = None
    rope_parameters: _Rope | None = None
    rope_scaling: _Rope | None = None
    attention_bias: bool = False


class _Vision(msgspec.Struct):
    """The tower's."""

    depth: Layers
    hidden_size: Size
    num_heads: Size
    intermediate_size: Size
    out_hidden_size: Size
    num_position_embeddings: Size
    deepstack_visual_indexes: list[OptionalSize]
    patch_size: Size = 16
    spatial_merge_size: Size = 2
    temporal_patch_size: Size = 2
    in_channels: Size = 3
    hidden_act: str = "gelu_pytorch_tanh"


class VisionFields(msgspec.Struct):
    """config.json."""

    text_config: _Text
    vision_config: _Vision
    image_token_id: TokenId
    video_token_id: TokenId
    vision_start_token_id: TokenId
    vision_end_token_id: TokenId
    tie_word_embeddings: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionCheckpoint:
    """An opened folder; tensors are still on disk."""

    folder: Path
    config: VisionDecoderConfig
    tokens: VisionTokens
    tokenizer: Tokenizer  # without truncation and padding
    model_max_length: int | None  # tokenizer_config.json's, when it is a real limit
    weights: SafetensorsFolder


def open_vision(folder: Path) -> VisionCheckpoint:
    """Read and check a folder.

    Raises:
        StartError: a file is missing or damaged, the architecture is not supported, or tokens and
            tensors are not exactly those that it needs; the message says what to do.
    """
    path = folder / "config.json"
    kind = read_json(path, _Kind)
    name = kind.architectures[0] if kind.architectures else "(none)"
    if name != ARCHITECTURE or kind.model_type != _MODEL_TYPE:
        raise StartError(
            f"{path}: architecture {shown(name)[1:-1]} with model_type {shown(kind.model_type)} is "
            f"not supported; of the Qwen3-VL family {ARCHITECTURE} ({_MODEL_TYPE}) is, whose "
            "language model head answers yes or no. Use the checkpoint as its publisher has it."
        )
    raw = read_json(path, VisionFields)
    config = vision_config(raw, path)
    tokenizer = read_tokenizer(folder, config.vocab)
    tokens = _tokens(raw, tokenizer, folder)
    weights = SafetensorsFolder(folder, prefix="model.", rename=_renamed, are_kept=False)
    # some checkpoints with a tied head bring a copy of it
    weights.require(tensor_shapes(config), unread=("lm_head.",) if config.text.tied else ())
    return VisionCheckpoint(
        folder=folder,
        config=config,
        tokens=tokens,
        tokenizer=tokenizer,
        model_max_length=read_tokenizer_config(folder).window_tokens,
        weights=weights,
    )


def _renamed(name: str) -> tuple[str, ...]:
    """The decoder's tensors as any decoder's."""
    return (name.removeprefix("language_model."),)


def _tokens(raw: VisionFields, tokenizer: Tokenizer, folder: Path) -> VisionTokens:
    """The special tokens' ids, the same in config.json and tokenizer.json.

    Raises:
        StartError: one is missing, or is another.
    """
    for special in SPECIALS:
        if len(tokenizer.encode(special, add_special_tokens=False).ids) != 1:
            raise StartError(
                f"{folder}/tokenizer.json has no token {special}, which the model's template is "
                "made of; the tokenizer belongs to another model."
            )
    said = {
        "<|vision_start|>": raw.vision_start_token_id,
        "<|vision_end|>": raw.vision_end_token_id,
        "<|image_pad|>": raw.image_token_id,
        "<|video_pad|>": raw.video_token_id,
    }
    for special, wanted in said.items():
        found = tokenizer.token_to_id(special)
        if found != wanted:
            raise StartError(
                f"{folder}: {special} is token {found} in tokenizer.json, but {wanted} in "
                "config.json; tokenizer and config.json belong to different models."
            )
    return VisionTokens(
        start=raw.vision_start_token_id,
        end=raw.vision_end_token_id,
        image=raw.image_token_id,
        video=raw.video_token_id,
    )


def vision_config(raw: VisionFields, path: Path) -> VisionDecoderConfig:
    """config.json as sizes.

    Raises:
        StartError: it asks for what is not computed here; the message says what.
    """
    text, vision = raw.text_config, raw.vision_config
    rope = text.rope_parameters or text.rope_scaling or _Rope()
    refuse_unsupported(path, _unsupported_text(text, rope) | _unsupported_vision(vision, text))
    return VisionDecoderConfig(
        text=DecoderConfig(
            architecture="qwen3",
            hidden=text.hidden_size,
            layers=text.num_hidden_layers,
            heads=text.num_attention_heads,
            kv_heads=text.num_key_value_heads or text.num_attention_heads,
            head_dim=text.head_dim,
            intermediate=text.intermediate_size,
            vocab=text.vocab_size,
            max_length=text.max_position_embeddings,
            rms_norm_eps=text.rms_norm_eps,
            rope_theta=rope.rope_theta or text.rope_theta or _DEFAULT_THETA,
            attention_bias=text.attention_bias,
            output_bias=text.attention_bias,
            tied=raw.tie_word_embeddings,
        ),
        vision=VisionConfig(
            depth=vision.depth,
            hidden=vision.hidden_size,
            heads=vision.num_heads,
            intermediate=vision.intermediate_size,
            patch=vision.patch_size,
            merge=vision.spatial_merge_size,
            side=round(vision.num_position_embeddings**0.5),
            deepstack=tuple(vision.deepstack_visual_indexes),
        ),
        sections=rope.mrope_section,
    )


def _unsupported_text(text: _Text, rope: _Rope) -> dict[str, bool]:
    """What the decoder would need that is not computed here, and whether it does."""
    heads, kv_heads = text.num_attention_heads, text.num_key_value_heads or text.num_attention_heads
    sections, pairs = rope.mrope_section, text.head_dim // 2
    # every third frequency from the second (rows) and from the third (columns) on
    fits = all(0 <= 3 * sections[axis] <= pairs + 2 - axis for axis in (1, 2))
    return {
        f"text hidden_act {text.hidden_act!r} (only 'silu')": text.hidden_act != "silu",
        f"rope type {rope.rope_type!r} (only 'default')": rope.rope_type not in (None, "default"),
        "mrope_interleaved false": not rope.mrope_interleaved,
        f"mrope_section {list(sections)} for heads of {text.head_dim}": not fits,
        f"head_dim {text.head_dim} (only even ones)": text.head_dim % 2 != 0,
        f"num_attention_heads {heads}, which num_key_value_heads {kv_heads} does not divide": (
            heads % kv_heads != 0
        ),
    }


def _unsupported_vision(vision: _Vision, text: _Text) -> dict[str, bool]:
    """The same of the vision encoder."""
    side = round(vision.num_position_embeddings**0.5)
    head_dim = vision.hidden_size // vision.num_heads
    deep = vision.deepstack_visual_indexes
    return {
        f"vision hidden_act {vision.hidden_act!r} (only 'gelu_pytorch_tanh')": (
            vision.hidden_act != "gelu_pytorch_tanh"
        ),
        f"vision heads of {vision.hidden_size} / {vision.num_heads} (only multiples of 4)": (
            vision.hidden_size % vision.num_heads != 0 or head_dim % 4 != 0
        ),
        f"num_position_embeddings {vision.num_position_embeddings}, which is no square": (
            side**2 != vision.num_position_embeddings
        ),
        f"patches of {vision.patch_size} by {vision.spatial_merge_size} (the recipe's pixels are "
        f"for 16 by 2)": vision.patch_size * vision.spatial_merge_size != FACTOR,
        f"temporal_patch_size {vision.temporal_patch_size} (only {TEMPORAL})": (
            vision.temporal_patch_size != TEMPORAL
        ),
        f"in_channels {vision.in_channels} (only {CHANNELS})": vision.in_channels != CHANNELS,
        f"out_hidden_size {vision.out_hidden_size} beside hidden_size {text.hidden_size}": (
            vision.out_hidden_size != text.hidden_size
        ),
        f"deepstack_visual_indexes {deep} of {vision.depth} blocks": (
            deep != sorted(set(deep)) or any(not 0 <= i < vision.depth for i in deep)
        ),
    }
