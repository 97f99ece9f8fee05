"""config.json of a GTE cross-encoder, as published (`new`) and as transformers writes it (`gte`).

The published form has an NTK factor, which its own code applies at every length: the base of the
angles times the factor, and every frequency divided by factor^(2/d). Transformers writes the same
as a linear scaling of another theta.
Sources: Alibaba-NLP/new-impl, modeling.NTKScalingRotaryEmbedding; transformers,
configuration_gte.GteConfig and modeling_rope_utils.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from rerankd.engines.gte_config import GteConfig
from rerankd.models.folder_file import shown
from rerankd.models.sizes import Layers, OptionalSize, Positive, Size
from rerankd.models.unsupported import refuse_unsupported


class GteRope(msgspec.Struct):
    """rope_scaling (published) or rope_parameters (transformers)."""

    type: str | None = None
    rope_type: str | None = None
    factor: Positive | None = None
    rope_theta: Positive | None = None
    mixed_b: float | None = None

    @property
    def kind(self) -> str:
        """Under either name."""
        return self.rope_type or self.type or "default"


class GteFields(msgspec.Struct):
    """The fields that change what is computed; defaults are those of the publisher's code."""

    hidden_size: Size
    num_hidden_layers: Layers
    num_attention_heads: Size
    intermediate_size: Size
    vocab_size: Size
    model_type: str | None = None
    max_position_embeddings: Size = 8192
    type_vocab_size: OptionalSize = 1
    layer_norm_eps: Positive = 1e-12
    layer_norm_type: str = "layer_norm"
    hidden_act: str = "gelu"
    position_embedding_type: str = "rope"
    rope_theta: Positive | None = None
    rope_scaling: GteRope | None = None
    rope_parameters: GteRope | None = None
    is_causal: bool = False
    logn_attention_scale: bool = False
    pack_qkv: bool = True
    id2label: dict[str, object] | None = None
    num_labels: Size | None = None


def plain_names(name: str) -> tuple[str, ...]:
    """The canonical name of a tensor that transformers wrote: it has `gte.` for `new.`."""
    return (name.removeprefix("gte."),)


def gte_config(raw: GteFields, folder: Path, *, is_headless: bool = False) -> GteConfig:
    """Sizes of the model, without a head (labels = 0) if it has none.

    Raises:
        StartError: the fields ask for something that the graph does not compute.
    """
    labels = len(raw.id2label) if raw.id2label is not None else raw.num_labels or 2
    labels = 0 if is_headless else labels
    rope = raw.rope_parameters or raw.rope_scaling or GteRope()
    theta = rope.rope_theta or raw.rope_theta or (1e4 if raw.model_type == "new" else 1.6e5)
    factor = rope.factor or 1.0
    wrong = {
        "is_causal true": raw.is_causal,
        f"hidden_act {shown(raw.hidden_act)} (only 'gelu')": raw.hidden_act != "gelu",
        f"layer_norm_type {shown(raw.layer_norm_type)} (only 'layer_norm')": (
            raw.layer_norm_type != "layer_norm"
        ),
        f"position_embedding_type {shown(raw.position_embedding_type)} (only 'rope')": (
            raw.position_embedding_type != "rope"
        ),
        "both rope_scaling and rope_parameters": None
        not in (raw.rope_scaling, raw.rope_parameters),
        f"rope type {shown(rope.kind)} (only 'ntk', 'linear' and 'default')": (
            rope.kind not in ("ntk", "linear", "default")
        ),
        "a rope factor for the type 'default'": rope.kind == "default" and factor != 1.0,
        f"rope factor {factor} (at least 1)": factor < 1.0,
        "rope mixed_b": rope.mixed_b is not None,
        "logn_attention_scale true": raw.logn_attention_scale,
        "pack_qkv false": not raw.pack_qkv,
        f"{labels} labels (only 1, or 2 = irrelevant and relevant)": (
            not is_headless and labels not in (1, 2)
        ),
        f"hidden_size {raw.hidden_size} with num_attention_heads {raw.num_attention_heads}, which "
        "makes no heads of an even size": raw.hidden_size % (2 * raw.num_attention_heads) != 0,
    }
    refuse_unsupported(folder / "config.json", wrong)
    is_ntk = rope.kind == "ntk"
    head_dim = raw.hidden_size // raw.num_attention_heads
    return GteConfig(
        hidden=raw.hidden_size,
        layers=raw.num_hidden_layers,
        heads=raw.num_attention_heads,
        intermediate=raw.intermediate_size,
        vocab=raw.vocab_size,
        positions=raw.max_position_embeddings,
        token_types=raw.type_vocab_size,
        layer_norm_eps=raw.layer_norm_eps,
        theta=theta * factor if is_ntk else theta,
        position_scale=factor ** (2 / head_dim) if is_ntk else factor,
        labels=labels,
    )
