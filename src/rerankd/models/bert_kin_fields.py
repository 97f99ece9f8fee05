"""config.json of BERT's kin that name things in their own way: ELECTRA, DistilBERT.

Sources: transformers, configuration_electra.ElectraConfig, configuration_distilbert.
DistilBertConfig.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Final

import msgspec

from rerankd.engines.encoder import EncoderConfig
from rerankd.models.encoder_fields import EncoderFields, encoder_config
from rerankd.models.sizes import Layers, Size

_LAYER: Final = re.compile(r"transformer\.layer\.(\d+)\.(.+)\.(weight|bias)")
_PARTS: Final = {
    "attention.q_lin": "attention.self.query",
    "attention.k_lin": "attention.self.key",
    "attention.v_lin": "attention.self.value",
    "attention.out_lin": "attention.output.dense",
    "sa_layer_norm": "attention.output.LayerNorm",
    "ffn.lin1": "intermediate.dense",
    "ffn.lin2": "output.dense",
    "output_layer_norm": "output.LayerNorm",
}


class ElectraFields(EncoderFields):
    """BERT's, and the width of a word's vector."""

    embedding_size: Size = 128


class DistilBertFields(msgspec.Struct):
    """The fields that change what is computed; defaults are transformers'."""

    dim: Size = 768
    n_layers: Layers = 6
    n_heads: Size = 12
    hidden_dim: Size = 3072
    vocab_size: Size = 30522
    max_position_embeddings: Size = 512
    activation: str = "gelu"
    is_causal: bool = False
    pad_token_id: int | None = 0
    id2label: dict[str, object] | None = None
    num_labels: Size | None = None


def electra_config(raw: ElectraFields, folder: Path) -> EncoderConfig:
    """Sizes of an ELECTRA; errors as encoder_config()."""
    config = encoder_config(raw, "electra", folder)
    is_narrow = raw.embedding_size != raw.hidden_size
    return dataclasses.replace(config, embedding=raw.embedding_size if is_narrow else 0)


def distilbert_config(raw: DistilBertFields, folder: Path) -> EncoderConfig:
    """Sizes of a DistilBERT; errors as encoder_config()."""
    fields = EncoderFields(
        hidden_size=raw.dim,
        num_hidden_layers=raw.n_layers,
        num_attention_heads=raw.n_heads,
        intermediate_size=raw.hidden_dim,
        vocab_size=raw.vocab_size,
        max_position_embeddings=raw.max_position_embeddings,
        hidden_act=raw.activation,
        is_causal=raw.is_causal,
        pad_token_id=raw.pad_token_id,
        id2label=raw.id2label,
        num_labels=raw.num_labels,
    )
    return dataclasses.replace(encoder_config(fields, "distilbert", folder), token_types=0)


def bert_names(name: str) -> tuple[str, ...]:
    """BERT's name of a DistilBERT tensor, without the prefix."""
    found = _LAYER.fullmatch(name)
    if found is None or found[2] not in _PARTS:
        return (name,)
    return (f"encoder.layer.{found[1]}.{_PARTS[found[2]]}.{found[3]}",)
