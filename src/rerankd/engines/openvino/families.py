"""Every family of cross-encoder that has one graph from ids to logits: its graph, its inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from rerankd.core.rows import Row
from rerankd.engines.any_encoder import AnyEncoder
from rerankd.engines.bidirectional_config import BidirectionalConfig
from rerankd.engines.encoder import Architecture, EncoderConfig, FloatWeights, Weights
from rerankd.engines.openvino import (
    bert,
    bidirectional,
    deberta,
    deberta_pack,
    distilbert,
    electra,
    gte,
    jina_bert,
    modernbert,
    modernbert_pack,
    xlm_roberta,
)
from rerankd.engines.openvino.runtime import Model
from rerankd.engines.pack import pack, pack_typed

Config: TypeAlias = AnyEncoder | BidirectionalConfig

# How the names of all layers' tensors start: their matrices become int8 if that is asked for.
LAYERS: Final = ("encoder.layer.", "layers.")

_BERT_KIN: Final[Mapping[Architecture, Callable[[EncoderConfig, Weights], Model]]] = {
    "bert": bert.build,
    "xlm-roberta": xlm_roberta.build,
    "electra": electra.build,
    "distilbert": distilbert.build,
}


def build(config: Config, weights: Weights, floats: FloatWeights) -> Model:
    """The graph: packed rows -> logits (B, K).

    Args:
        config: sizes.
        weights: the tensors that the graph multiplies by.
        floats: the same, none of them rounded.
    """
    match config.architecture:
        case "modernbert":
            return modernbert.build(config, weights)
        case "deberta-v2":
            return deberta.build(config, weights, floats)
        case "llama-bidirectional":
            return bidirectional.build(config, weights, floats)
        case "gte":
            return gte.build(config, weights)
        case "jina-bert":
            return jina_bert.build(config, weights)
        case _:
            return _BERT_KIN[config.architecture](config, weights)


def packer(config: Config) -> Callable[[Sequence[Row]], dict[str, Any]]:
    """What makes the graph's inputs, by name, of rows."""
    match config.architecture:
        case "modernbert":
            return partial(modernbert_pack.pack, config=config)
        case "deberta-v2":
            return partial(deberta_pack.pack, config=config)
        case "llama-bidirectional" | "gte" | "jina-bert":
            return pack_typed
        case _:
            return partial(pack, config=config)


def vocabulary(config: Config) -> int:
    """How many token ids there are."""
    return config.body.vocab if isinstance(config, BidirectionalConfig) else config.vocab
