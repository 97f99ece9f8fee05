"""What an engine needs to know of a vision-language model (Qwen3-VL): sizes, and its tensors.

Tensor names are canonical: the decoder's as in engines.decoder, the vision tower's under `visual.`.
Source: transformers, configuration_qwen3_vl.
"""

from __future__ import annotations

from dataclasses import dataclass

from rerankd.engines import decoder
from rerankd.engines.decoder import DecoderConfig

CHANNELS = 3
TEMPORAL = 2  # frames per patch; an image is read twice
NORM_EPS = 1e-6  # of the tower's norms, fixed in the published code
ROPE_THETA = 10_000.0  # of the tower, fixed likewise


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionConfig:
    """Sizes of the vision tower."""

    depth: int
    hidden: int
    heads: int
    intermediate: int
    patch: int  # pixels
    merge: int  # patches of a token, down and across
    side: int  # the position table is a square of so many rows
    deepstack: tuple[int, ...]  # after which blocks features go to the decoder's first layers

    @property
    def head_dim(self) -> int:
        """Values per head."""
        return self.hidden // self.heads

    @property
    def patch_values(self) -> int:
        """What one patch brings: channels, frames, pixels."""
        return CHANNELS * TEMPORAL * self.patch**2

    @property
    def token_pixels(self) -> int:
        """Pixels of a token, down and across: images are multiples of it."""
        return self.patch * self.merge

    @property
    def merged(self) -> int:
        """Values of the patches of one token."""
        return self.hidden * self.merge**2


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionDecoderConfig:
    """A decoder and its vision tower, whose features are as wide as the decoder."""

    text: DecoderConfig
    vision: VisionConfig
    sections: tuple[int, int, int]  # frequencies that turn by time, row and column

    @property
    def max_length(self) -> int:
        """Tokens per row."""
        return self.text.max_length

    @property
    def vocab(self) -> int:
        """Ids that the decoder knows."""
        return self.text.vocab


def tensor_shapes(config: VisionDecoderConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor that is read, with its shape."""
    v, h = config.vision, config.vision.hidden
    shapes = dict(decoder.tensor_shapes(config.text))

    def linear(name: str, outputs: int, inputs: int) -> None:
        shapes[f"visual.{name}.weight"] = (outputs, inputs)
        shapes[f"visual.{name}.bias"] = (outputs,)

    def norm(name: str, size: int) -> None:
        shapes[f"visual.{name}.weight"] = shapes[f"visual.{name}.bias"] = (size,)

    shapes["visual.patch_embed.proj.weight"] = (h, CHANNELS, TEMPORAL, v.patch, v.patch)
    shapes["visual.patch_embed.proj.bias"] = (h,)
    shapes["visual.pos_embed.weight"] = (v.side**2, h)
    for block in (f"blocks.{i}" for i in range(v.depth)):
        norm(f"{block}.norm1", h)
        norm(f"{block}.norm2", h)
        linear(f"{block}.attn.qkv", 3 * h, h)
        linear(f"{block}.attn.proj", h, h)
        linear(f"{block}.mlp.linear_fc1", v.intermediate, h)
        linear(f"{block}.mlp.linear_fc2", h, v.intermediate)
    mergers = ["merger", *(f"deepstack_merger_list.{i}" for i in range(len(v.deepstack)))]
    for merger in mergers:
        norm(f"{merger}.norm", h if merger == "merger" else v.merged)
        linear(f"{merger}.linear_fc1", v.merged, v.merged)
        linear(f"{merger}.linear_fc2", config.text.hidden, v.merged)
    return shapes
