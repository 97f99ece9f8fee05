"""Every kind of cross-encoder that has one graph from ids to logits, and the tensors it reads."""

from __future__ import annotations

from typing import TypeAlias

from rerankd.engines import (
    deberta_config,
    encoder,
    gte_config,
    jina_bert_config,
    modernbert_config,
)
from rerankd.engines.deberta_config import DebertaConfig
from rerankd.engines.encoder import EncoderConfig
from rerankd.engines.gte_config import GteConfig
from rerankd.engines.jina_bert_config import JinaBertConfig
from rerankd.engines.modernbert_config import ModernBertConfig

AnyEncoder: TypeAlias = (
    EncoderConfig | ModernBertConfig | DebertaConfig | GteConfig | JinaBertConfig
)


def tensor_shapes(config: AnyEncoder) -> dict[str, tuple[int, ...]]:
    """Every tensor that the graph reads, with its shape: a checkpoint has these and no others."""
    match config:
        case ModernBertConfig():
            return modernbert_config.tensor_shapes(config)
        case DebertaConfig():
            return deberta_config.tensor_shapes(config)
        case GteConfig():
            return gte_config.tensor_shapes(config)
        case JinaBertConfig():
            return jina_bert_config.tensor_shapes(config)
        case EncoderConfig():
            return encoder.tensor_shapes(config)
