"""config.json of a DeBERTa-v2 cross-encoder, as published and as transformers 5 writes it.

Source: transformers, configuration_deberta_v2.DebertaV2Config and modeling_deberta_v2, which reads
some fields that the former does not list.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from rerankd.engines.deberta_config import DebertaConfig, Term
from rerankd.models.sizes import Layers, OptionalSize, Positive, SignedSize, Size
from rerankd.models.unsupported import refuse_unsupported

TERMS: tuple[Term, ...] = ("c2p", "p2c")


class DebertaFields(msgspec.Struct):
    """The fields that change what is computed; defaults are transformers'."""

    hidden_size: Size
    num_hidden_layers: Layers
    num_attention_heads: Size
    intermediate_size: Size
    vocab_size: Size
    max_position_embeddings: Size = 512
    type_vocab_size: OptionalSize = 0
    layer_norm_eps: Positive = 1e-7
    hidden_act: str = "gelu"
    pooler_hidden_act: str = "gelu"
    pooler_hidden_size: int | None = None
    embedding_size: int | None = None
    attention_head_size: int | None = None
    conv_kernel_size: OptionalSize = 0
    position_biased_input: bool = True
    relative_attention: bool = False
    max_relative_positions: SignedSize = -1
    position_buckets: SignedSize = -1
    norm_rel_ebd: str = "none"
    share_att_key: bool = False
    pos_att_type: str | list[str] | None = None
    id2label: dict[str, object] | None = None
    num_labels: Size | None = None


def deberta_config(raw: DebertaFields, folder: Path) -> DebertaConfig:
    """Sizes of the model.

    Raises:
        StartError: the fields ask for something that the graph does not compute.
    """
    labels = len(raw.id2label) if raw.id2label is not None else raw.num_labels or 2
    listed = raw.pos_att_type or []
    types = [
        each.strip().lower() for each in (listed.split("|") if isinstance(listed, str) else listed)
    ]
    most = raw.max_relative_positions if raw.max_relative_positions > 0 else None
    widths = {raw.pooler_hidden_size, raw.embedding_size} - {None, raw.hidden_size}
    head_size = raw.hidden_size // raw.num_attention_heads
    wrong = {
        f"activation {raw.hidden_act}, {raw.pooler_hidden_act} (only gelu)": (
            {raw.hidden_act, raw.pooler_hidden_act} != {"gelu"}
        ),
        "relative_attention false": not raw.relative_attention,
        "position_biased_input true": raw.position_biased_input,
        f"conv_kernel_size {raw.conv_kernel_size} (only 0)": raw.conv_kernel_size > 0,
        f"pos_att_type {listed!r} (only c2p and p2c)": not types or not set(types) <= set(TERMS),
        f"position_buckets {raw.position_buckets} (at least 4, or none)": (
            0 < raw.position_buckets < 4
        ),
        f"norm_rel_ebd {raw.norm_rel_ebd!r} (only none and layer_norm)": (
            raw.norm_rel_ebd.strip().lower() not in ("none", "layer_norm")
        ),
        f"pooler_hidden_size or embedding_size beside hidden_size {raw.hidden_size}": bool(widths),
        f"{labels} labels (only 1, or 2 = irrelevant and relevant)": labels not in (1, 2),
        f"hidden_size {raw.hidden_size}, which num_attention_heads {raw.num_attention_heads} "
        "does not divide": raw.hidden_size % raw.num_attention_heads != 0,
        f"attention_head_size {raw.attention_head_size} (only {head_size})": (
            raw.attention_head_size not in (None, head_size)
        ),
    }
    refuse_unsupported(folder / "config.json", wrong)
    return DebertaConfig(
        hidden=raw.hidden_size,
        layers=raw.num_hidden_layers,
        heads=raw.num_attention_heads,
        intermediate=raw.intermediate_size,
        vocab=raw.vocab_size,
        positions=raw.max_position_embeddings,
        token_types=raw.type_vocab_size,
        buckets=raw.position_buckets if raw.position_buckets > 0 else None,
        max_distance=most or raw.max_position_embeddings,
        terms=tuple(term for term in TERMS if term in types),
        share_projections=raw.share_att_key,
        norm_positions=raw.norm_rel_ebd.strip().lower() == "layer_norm",
        layer_norm_eps=raw.layer_norm_eps,
        labels=labels,
    )
