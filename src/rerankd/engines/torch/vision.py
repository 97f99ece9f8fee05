"""The vision tower of Qwen3-VL: pictures -> one feature per token, for several of its depths.

The patches of all pictures of a call are packed behind one another; each sees those of its own
picture. A video is so many pictures of two frames each: the tower never looks across them.

Shapes: N patches, M tokens (N / merge^2), v tower width, h decoder width, d head size.
Source: transformers, modeling_qwen3_vl.Qwen3VLVisionModel; Qwen3-VL report, arXiv:2511.21631.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rerankd.core.visual import Visual
from rerankd.engines import visuals as arrays
from rerankd.engines.pack import Array
from rerankd.engines.rotary import frequencies
from rerankd.engines.torch.layers import LayerNorm, Linear, Loader, heads_of, rotate
from rerankd.engines.torch.plan import whole_rows
from rerankd.engines.vision_config import NORM_EPS, ROPE_THETA, VisionConfig

# Patches of one pass; a larger picture goes alone. Four make a token of the decoder.
PASS_PATCHES: Final = {"cpu": 4096}
PASS_PATCHES_GPU: Final = 32_768
_GREY: Final = 127.5  # (x / 255 - 0.5) / 0.5, the published mean and deviation


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    norm: LayerNorm
    qkv: Linear  # (3 v, v)
    out: Linear
    mlp_norm: LayerNorm
    inner: Linear
    back: Linear

    def finish(self, mixed: Tensor, x: Tensor) -> Tensor:
        """What follows attention, two residual steps."""
        x = x + self.out(mixed)
        inner = functional.gelu(self.inner(self.mlp_norm(x)), approximate="tanh")
        return x + self.back(inner)


@dataclass(frozen=True, slots=True, eq=False)
class _Merger:
    """The patches of a token as one: normalised one by one, or (`joined`) together."""

    norm: LayerNorm
    inner: Linear
    back: Linear
    merged: int
    joined: bool

    def __call__(self, x: Tensor) -> Tensor:
        """(N, v) -> (M, h)."""
        x = self.norm(x.view(-1, self.merged)) if self.joined else self.norm(x)
        return self.back(functional.gelu(self.inner(x.view(-1, self.merged))))


class VisionTower:
    """See the module."""

    def __init__(self, config: VisionConfig, load: Loader) -> None:
        self._config = config
        self._load = load
        patch = "visual.patch_embed.proj"
        weight, bias = (load.tensor(f"{patch}.{part}") for part in ("weight", "bias"))
        self._patch = Linear(weight.flatten(1), bias)  # a convolution that never overlaps
        self._table = load.tensor("visual.pos_embed.weight")
        self._blocks = [_block(load, f"visual.blocks.{i}") for i in range(config.depth)]
        self._merger = _merger(load, "visual.merger", config, joined=False)
        self._deep = {
            after: _merger(load, f"visual.deepstack_merger_list.{i}", config, joined=True)
            for i, after in enumerate(config.deepstack)
        }
        self._turns = load.array(frequencies(config.head_dim // 2, ROPE_THETA))

    def __call__(self, visuals: Sequence[Visual]) -> list[Tensor]:
        """Features of pictures, token by token, picture by picture.

        Args:
            visuals: at least one, each encoded once.

        Returns:
            (M, h) for the decoder's input, then one for each of config.deepstack.
        """
        room = PASS_PATCHES.get(self._load.device.type, PASS_PATCHES_GPU)
        passes: list[list[Visual]] = [[]]
        used = 0
        for visual in visuals:
            count = visual.tokens * self._config.merge**2
            if passes[-1] and used + count > room:
                passes.append([])
                used = 0
            passes[-1].append(visual)
            used += count
        parts = [self._look(some) for some in passes]
        return [torch.cat(level) for level in zip(*parts, strict=True)]

    def _look(self, visuals: Sequence[Visual]) -> list[Tensor]:
        """One pass."""
        config, load = self._config, self._load
        x = self._embed(visuals)
        angles = self._angles(np.concatenate([arrays.patch_places(v, config) for v in visuals]))
        lengths = np.array([v.tokens * config.merge**2 for v in visuals], dtype=np.int32)
        attend = load.attention(whole_rows(lengths), config.head_dim)
        levels: list[Tensor] = []
        for i, block in enumerate(self._blocks):
            qkv = block.qkv(block.norm(x)).chunk(3, dim=1)
            q, k, v = (heads_of(part, config.head_dim) for part in qkv)
            q, k = rotate(q, *angles), rotate(k, *angles)
            x = block.finish(attend(q, k, v).flatten(1), x)
            if i in self._deep:
                levels.append(self._deep[i](x))
        return [self._merger(x), *levels]

    def _embed(self, visuals: Sequence[Visual]) -> Tensor:
        """Patches with their learned positions, (N, v)."""
        config, load = self._config, self._load
        pixels = load.array(np.concatenate([arrays.patches(v, config) for v in visuals]))
        taps = [arrays.position_taps(v, config) for v in visuals]
        index, share = (load.array(np.concatenate(part)) for part in zip(*taps, strict=True))
        x = self._patch(((pixels.float() - _GREY) / _GREY).to(load.dtype))
        return x + (self._table[index] * share[:, :, None]).sum(1).to(x.dtype)

    def _angles(self, places: Array) -> tuple[Tensor, Tensor]:
        """Cosine and sine: the first half of a head's pairs turns by row, the other by column."""
        turned = self._load.array(places).float()[:, :, None] * self._turns
        angles = turned.flatten(1)[:, None]
        return angles.cos(), angles.sin()


def _block(load: Loader, name: str) -> _Block:
    return _Block(
        norm=load.layer_norm(f"{name}.norm1", NORM_EPS),
        qkv=load.linear(f"{name}.attn.qkv"),
        out=load.linear(f"{name}.attn.proj"),
        mlp_norm=load.layer_norm(f"{name}.norm2", NORM_EPS),
        inner=load.linear(f"{name}.mlp.linear_fc1"),
        back=load.linear(f"{name}.mlp.linear_fc2"),
    )


def _merger(load: Loader, name: str, config: VisionConfig, *, joined: bool) -> _Merger:
    return _Merger(
        norm=load.layer_norm(f"{name}.norm", NORM_EPS),
        inner=load.linear(f"{name}.linear_fc1"),
        back=load.linear(f"{name}.linear_fc2"),
        merged=config.merged,
        joined=joined,
    )
