"""BERT (MiniLM, ms-marco cross-encoders): pooler over [CLS], then one linear layer.

Source: transformers, modeling_bert.BertForSequenceClassification.
"""

from __future__ import annotations

from rerankd.engines.encoder import EncoderConfig, Weights
from rerankd.engines.openvino.blocks import (
    Packing,
    dense_tanh,
    embeddings,
    encoder,
    linear,
    model,
)
from rerankd.engines.openvino.runtime import Model


def build(config: EncoderConfig, weights: Weights) -> Model:
    """The graph: packed rows -> logits (B, K)."""
    packing = Packing.inputs()
    x = embeddings(packing, weights, config.layer_norm_eps)
    x = encoder(x, packing, weights, config)
    x = dense_tanh(x, weights, "pooler.dense")
    return model(linear(x, weights, "classifier"), packing, "bert")
