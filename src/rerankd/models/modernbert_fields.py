"""config.json of a ModernBERT, with a head or without, as published and as transformers 5 has it.

The published form counts layers (`global_attn_every_n_layers`) and names two thetas; transformers 5
lists `layer_types` and `rope_parameters` instead. The list wins where both are there.
Source: transformers, configuration_modernbert.ModernBertConfig.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from rerankd.engines.modernbert_config import ModernBertConfig, Pooling
from rerankd.models.sizes import Layers, OptionalSize, Positive, Size
from rerankd.models.unsupported import refuse_unsupported

GLOBAL, LOCAL = "full_attention", "sliding_attention"


class Rope(msgspec.Struct):
    """One entry of rope_parameters."""

    rope_type: str = "default"
    rope_theta: Positive | None = None


class ModernBertFields(msgspec.Struct):
    """The fields that change what is computed; defaults are transformers'."""

    hidden_size: Size
    num_hidden_layers: Layers
    num_attention_heads: Size
    intermediate_size: Size
    vocab_size: Size
    max_position_embeddings: Size = 8192
    norm_eps: Positive = 1e-5
    norm_bias: bool = False
    attention_bias: bool = False
    mlp_bias: bool = False
    classifier_bias: bool = False
    classifier_pooling: Pooling = "cls"
    is_causal: bool = False  # of transformers 5
    hidden_activation: str = "gelu"
    classifier_activation: str = "gelu"
    local_attention: OptionalSize = 128  # tokens that a local layer sees, both sides together
    layer_types: list[str] | None = None
    global_attn_every_n_layers: Size = 3
    rope_parameters: dict[str, Rope | None] | None = None
    rope_scaling: dict[str, object] | None = None
    global_rope_theta: Positive = 160_000.0
    local_rope_theta: Positive | None = 10_000.0  # null: as global_rope_theta
    id2label: dict[str, object] | None = None
    num_labels: Size | None = None


def _is_global(raw: ModernBertFields) -> tuple[bool, ...]:
    if raw.layer_types is not None:
        return tuple(kind == GLOBAL for kind in raw.layer_types)
    every = raw.global_attn_every_n_layers
    return tuple(layer % every == 0 for layer in range(raw.num_hidden_layers))


def modernbert_config(
    raw: ModernBertFields, folder: Path, *, is_headless: bool = False
) -> ModernBertConfig:
    """Sizes of the model, without a head (labels = 0) if it has none.

    Raises:
        StartError: the fields ask for something that the graph does not compute.
    """
    labels = len(raw.id2label) if raw.id2label is not None else raw.num_labels or 2
    labels = 0 if is_headless else labels
    ropes = {kind: (raw.rope_parameters or {}).get(kind) or Rope() for kind in (GLOBAL, LOCAL)}
    types = set(raw.layer_types or ()) - {GLOBAL, LOCAL}
    kinds = sorted({rope.rope_type for rope in ropes.values()} - {"default"})
    is_global = _is_global(raw)
    of_head = set[str]() if is_headless else {raw.classifier_activation}
    activations = {raw.hidden_activation, *of_head} - {"gelu"}
    wrong = {
        "is_causal true": raw.is_causal,
        f"activation {', '.join(sorted(activations))} (only gelu)": bool(activations),
        f"layer_types {', '.join(sorted(types))}": bool(types),
        f"{len(is_global)} layer_types for num_hidden_layers {raw.num_hidden_layers}": (
            len(is_global) != raw.num_hidden_layers
        ),
        f"rope_type {', '.join(kinds)} (only default)": bool(kinds),
        "rope_scaling": raw.rope_scaling is not None,
        f"local_attention {raw.local_attention} (at least 2)": raw.local_attention < 2,
        f"{labels} labels (only 1, or 2 = irrelevant and relevant)": (
            not is_headless and labels not in (1, 2)
        ),
        f"hidden_size {raw.hidden_size} with num_attention_heads {raw.num_attention_heads}, which "
        "makes no heads of an even size": raw.hidden_size % (2 * raw.num_attention_heads) != 0,
    }
    refuse_unsupported(folder / "config.json", wrong)
    return ModernBertConfig(
        hidden=raw.hidden_size,
        heads=raw.num_attention_heads,
        intermediate=raw.intermediate_size,
        vocab=raw.vocab_size,
        positions=raw.max_position_embeddings,
        is_global=is_global,
        reach=raw.local_attention // 2,
        global_theta=ropes[GLOBAL].rope_theta or raw.global_rope_theta,
        local_theta=ropes[LOCAL].rope_theta or raw.local_rope_theta or raw.global_rope_theta,
        norm_eps=raw.norm_eps,
        norm_bias=raw.norm_bias,
        attention_bias=raw.attention_bias,
        mlp_bias=raw.mlp_bias,
        head_bias=raw.classifier_bias,
        pooling=raw.classifier_pooling,
        labels=labels,
    )
