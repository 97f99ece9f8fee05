"""DistilBERT: BERT's layers without token types, and a head with ReLU.

Sources: Sanh et al. 2019, arXiv:1910.01108; transformers,
modeling_distilbert.DistilBertForSequenceClassification.
"""

from __future__ import annotations

from rerankd.engines.encoder import EncoderConfig, Weights
from rerankd.engines.openvino.blocks import Packing, embeddings, encoder, linear, model
from rerankd.engines.openvino.runtime import Model, ops


def build(config: EncoderConfig, weights: Weights) -> Model:
    """The graph: packed rows -> logits (B, K)."""
    packing = Packing.inputs()
    x = embeddings(packing, weights, config.layer_norm_eps, typed=False)
    x = encoder(x, packing, weights, config)
    x = ops.relu(linear(x, weights, "pre_classifier"))
    return model(linear(x, weights, "classifier"), packing, "distilbert")
