"""Floating-point operations that a checkpoint's published computation takes, from config.json.

Nominal: every layer for every token of a row, no padding, a multiply-add as two. What an engine
leaves out (the last layer of positions nobody reads) is not subtracted and what it adds (padding)
is not charged, so engines are measured with one yardstick. `needed` is the other yardstick: the
last layer only where it is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from rerankd.models.folder_file import read_json
from rerankd.models.sizes import Layers, Size


class ModelSizes(msgspec.Struct, frozen=True):
    """What a model is measured by, under transformers' names."""

    model_type: str
    hidden_size: Size
    num_hidden_layers: Layers
    num_attention_heads: Size
    intermediate_size: Size
    num_key_value_heads: Size | None = None
    head_dim: Size | None = None


class _Nested(msgspec.Struct):
    """A vision-language model has the sizes of its decoder one level down."""

    text_config: ModelSizes | None = None


# three matrices in the feed-forward block, not two
_GATED = ("gte", "jina-bert", "modernbert", "new", "qwen2", "qwen3", "qwen3_vl_text")


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCost:
    """Multiply-adds of one layer: per token, of which keys and values, and per token pair."""

    layers: int
    token: int
    keys_values: int  # the part that the last layer needs of every token
    token_pair: int

    def nominal(self, lengths: Sequence[int]) -> float:
        """FLOPs of rows of so many tokens, all layers whole."""
        one = sum(self.token * n + self.token_pair * n * n for n in lengths)
        return 2.0 * self.layers * one

    def needed(self, lengths: Sequence[int]) -> float:
        """FLOPs when the last layer is computed for one position of each row."""
        last = sum(
            self.keys_values * n + (self.token - self.keys_values) + self.token_pair * n
            for n in lengths
        )
        whole = self.nominal(lengths) * (self.layers - 1) / self.layers
        return whole + 2.0 * last


def layer_cost(folder: Path) -> LayerCost:
    """The cost of one layer of a checkpoint.

    Local attention counts as global, so ModernBERT's figure is an upper bound on long rows. Of a
    model that reads images the decoder counts, not the vision encoder.

    Raises:
        StartError: config.json is missing or has no sizes.
    """
    path = folder / "config.json"
    return cost_of(read_json(path, _Nested).text_config or read_json(path, ModelSizes))


def cost_of(config: ModelSizes) -> LayerCost:
    """The cost of one layer of a model of these sizes; see `layer_cost`."""
    hidden = config.hidden_size
    head = config.head_dim or hidden // config.num_attention_heads
    queries = config.num_attention_heads * head
    keys_values = 2 * hidden * (config.num_key_value_heads or config.num_attention_heads) * head
    matrices = 3 if config.model_type in _GATED else 2
    return LayerCost(
        layers=config.num_hidden_layers,
        token=2 * hidden * queries + keys_values + matrices * hidden * config.intermediate_size,
        keys_values=keys_values,
        token_pair=2 * queries,
    )
