"""What the graph needs to know of a listwise reranker: a decoder's sizes, and its tensors.

Source: jina-reranker-v3, config.json and modeling.JinaForRanking.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rerankd.engines.decoder import DecoderConfig
from rerankd.engines.decoder import tensor_shapes as decoder_shapes

PROJECTOR: Final = "projector.0.weight"  # its first matrix


@dataclass(frozen=True, slots=True, kw_only=True)
class ListwiseConfig:
    """Sizes of one listwise reranker."""

    decoder: DecoderConfig
    inner: int  # of the projector, hidden -> inner -> dimensions
    dimensions: int  # of a vector
    window: int | None = None  # a token of a windowed layer sees so many: itself and those before
    windowed: frozenset[int] = frozenset()  # the layers that do


def tensor_shapes(config: ListwiseConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor that is read, with its shape."""
    body = decoder_shapes(config.decoder)
    body.pop("lm_head.weight", None)  # nothing is generated
    return {
        **body,
        PROJECTOR: (config.inner, config.decoder.hidden),
        "projector.2.weight": (config.dimensions, config.inner),
    }
