"""XLM-R and RoBERTa (bge, bce rerankers): BERT's layers under a head of two linear layers.

Positions start after the pad id (EncoderConfig.first_position); there is no pooler.
Source: transformers, modeling_xlm_roberta.XLMRobertaForSequenceClassification.
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
    x = dense_tanh(x, weights, "classifier.dense")
    return model(linear(x, weights, "classifier.out_proj"), packing, "xlm-roberta")
