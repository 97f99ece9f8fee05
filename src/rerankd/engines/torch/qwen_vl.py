"""Qwen3-VL as a reranker: packed rows with pictures in them -> yes minus no.

Each distinct picture of a call is encoded once, whichever and however many rows hold it. Its
features stand in for the embeddings of its tokens, and deeper ones are added to the same tokens
behind the decoder's first layers.

Shapes: T tokens of the call, B rows, M tokens of distinct pictures, h hidden size, d head size.
Source: transformers, modeling_qwen3_vl.Qwen3VLForConditionalGeneration; features added to early
layers: DeepStack, arXiv:2406.04334.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from rerankd.core.rows import Row
from rerankd.engines.pack import Array
from rerankd.engines.rotary import frequencies
from rerankd.engines.shared_prefix import Group
from rerankd.engines.torch.layers import Loader, members
from rerankd.engines.torch.plan import causal
from rerankd.engines.torch.qwen import Decoder
from rerankd.engines.torch.vision import VisionTower
from rerankd.engines.vision_config import VisionDecoderConfig
from rerankd.engines.visuals import mrope_axes, mrope_positions, with_image_ids


class QwenVl:
    """See engines.torch.layers.Network."""

    def __init__(
        self, config: VisionDecoderConfig, load: Loader, *, yes: int, no: int | None
    ) -> None:
        self._config = config
        self._load = load
        self._tower = VisionTower(config.vision, load)
        self._decoder = Decoder(config.text, load, yes=yes, no=no)
        head_dim = config.text.head_dim
        self._axes = mrope_axes(head_dim, config.sections)
        self._turns = load.array(frequencies(head_dim, config.text.rope_theta))

    def __call__(self, rows: Sequence[Row], groups: Sequence[Group]) -> Tensor:
        """Logits (B, 1)."""
        called = members(rows, groups)
        told, visuals = with_image_ids(called, self._config.vocab)
        packed = causal(told, _renumbered(groups))
        angles = self._angles(called, packed.owners, packed.positions)
        seen = np.flatnonzero(packed.ids >= self._config.vocab)
        ids = packed.ids.copy()
        ids[seen] = 0  # any word: features take its place
        x = self._decoder.words[self._load.array(ids)]
        if not visuals:
            return self._decoder(packed, x, angles)
        at = self._load.array(seen)
        source = self._load.array(packed.ids[seen] - self._config.vocab)
        features, *deeper = self._tower(visuals)
        x[at] = features[source]

        def added(layer: int, x: Tensor) -> Tensor:
            return x.index_add(0, at, deeper[layer][source]) if layer < len(deeper) else x

        return self._decoder(packed, x, angles, added)

    def _angles(self, rows: Sequence[Row], owners: Array, places: Array) -> tuple[Tensor, Tensor]:
        """Cosine and sine of the packed tokens, (T, 1, d / 2) each."""
        starts = np.cumsum([0, *(row.tokens for row in rows[:-1])])
        positions = np.concatenate([mrope_positions(row) for row in rows])
        own = positions[starts[owners] + places][:, self._axes]
        angles = (self._load.array(own).float() * self._turns)[:, None]
        return angles.cos(), angles.sin()


def _renumbered(groups: Sequence[Group]) -> list[Group]:
    """The same groups over the rows of members()."""
    made: list[Group] = []
    start = 0
    for group in groups:
        end = start + len(group.members)
        made.append(Group(group.prefix_tokens, tuple(range(start, end))))
        start = end
    return made
