"""ELECTRA (ms-marco-electra): BERT's layers; narrow word vectors, and a head with GELU.

Sources: Clark et al. 2020, arXiv:2003.10555; transformers,
modeling_electra.ElectraForSequenceClassification, whose head has GELU whatever hidden_act says.
"""

from __future__ import annotations

from rerankd.engines.encoder import PROJECT, EncoderConfig, Weights
from rerankd.engines.openvino.blocks import Packing, embeddings, encoder, linear, model
from rerankd.engines.openvino.runtime import Model, ops


def build(config: EncoderConfig, weights: Weights) -> Model:
    """The graph: packed rows -> logits (B, K)."""
    packing = Packing.inputs()
    x = embeddings(packing, weights, config.layer_norm_eps)
    if config.embedding:
        x = linear(x, weights, PROJECT)
    x = encoder(x, packing, weights, config)
    x = ops.gelu(linear(x, weights, "classifier.dense"), "erf")
    return model(linear(x, weights, "classifier.out_proj"), packing, "electra")
