"""config.json of BERT, XLM-R and RoBERTa, with a classification head or without."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from rerankd.engines.encoder import Architecture, EncoderConfig
from rerankd.models.sizes import Layers, Positive, Size
from rerankd.models.unsupported import refuse_unsupported

_DEFAULT_PAD: Final[dict[Architecture, int]] = {
    "bert": 0,
    "xlm-roberta": 1,
    "electra": 0,
    "distilbert": 0,
}


class EncoderFields(msgspec.Struct):
    """The fields that change what is computed; defaults are transformers'."""

    hidden_size: Size
    num_hidden_layers: Layers
    num_attention_heads: Size
    intermediate_size: Size
    vocab_size: Size
    max_position_embeddings: Size
    type_vocab_size: Size = 2
    layer_norm_eps: Positive = 1e-12
    hidden_act: str = "gelu"
    position_embedding_type: str = "absolute"
    is_decoder: bool = False
    is_causal: bool = False  # of transformers 5
    pad_token_id: int | None = None
    id2label: dict[str, object] | None = None
    num_labels: Size | None = None


def encoder_config(
    raw: EncoderFields, architecture: Architecture, folder: Path, *, is_headless: bool = False
) -> EncoderConfig:
    """Sizes of the model, without a head (labels = 0) if it has none.

    Raises:
        StartError: the fields ask for something that the graph does not compute.
    """
    labels = len(raw.id2label) if raw.id2label is not None else raw.num_labels or 2
    labels = 0 if is_headless else labels
    pad = raw.pad_token_id if raw.pad_token_id is not None else _DEFAULT_PAD[architecture]
    wrong = {
        f"hidden_act {raw.hidden_act!r} (only 'gelu')": raw.hidden_act != "gelu",
        f"position_embedding_type {raw.position_embedding_type!r} (only 'absolute')": (
            raw.position_embedding_type != "absolute"
        ),
        "is_decoder true": raw.is_decoder,
        "is_causal true": raw.is_causal,
        f"{labels} labels (only 1, or 2 = irrelevant and relevant)": (
            not is_headless and labels not in (1, 2)
        ),
        f"hidden_size {raw.hidden_size}, which num_attention_heads {raw.num_attention_heads} "
        "does not divide": raw.hidden_size % raw.num_attention_heads != 0,
        f"pad_token_id {pad}": not 0 <= pad < raw.max_position_embeddings - 1,
    }
    refuse_unsupported(folder / "config.json", wrong)
    return EncoderConfig(
        architecture=architecture,
        hidden=raw.hidden_size,
        layers=raw.num_hidden_layers,
        heads=raw.num_attention_heads,
        intermediate=raw.intermediate_size,
        vocab=raw.vocab_size,
        positions=raw.max_position_embeddings,
        token_types=raw.type_vocab_size,
        layer_norm_eps=raw.layer_norm_eps,
        labels=labels,
        pad_id=pad,
    )
