"""What the graph needs to know of a decoder's layers without the causal mask, read as an encoder.

Tensor names are canonical, as of engines.decoder. Source: NeMo Automodel,
components/models/llama_bidirectional/model.py (LlamaBidirectionalForSequenceClassification).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rerankd.engines import decoder
from rerankd.engines.decoder import DecoderConfig
from rerankd.engines.rotary import LowFrequencies


@dataclass(frozen=True, slots=True, kw_only=True)
class BidirectionalConfig:
    """Sizes of one: the layers, a mean over all tokens, one linear layer without a bias."""

    architecture: Literal["llama-bidirectional"] = "llama-bidirectional"
    body: DecoderConfig  # its labels are the head's
    stretch: LowFrequencies | None  # of the rotary positions
    temperature: float  # logits are divided by it

    @property
    def labels(self) -> int:
        """K."""
        return self.body.labels

    @property
    def max_length(self) -> int:
        """Longest row in tokens."""
        return self.body.max_length


def tensor_shapes(config: BidirectionalConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor that is read, with its shape."""
    return decoder.tensor_shapes(config.body)
