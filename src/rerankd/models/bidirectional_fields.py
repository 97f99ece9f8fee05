"""config.json of a Llama without the causal mask: pooling, temperature, rotary positions."""

from __future__ import annotations

from pathlib import Path

import msgspec

from rerankd.engines.bidirectional_config import BidirectionalConfig
from rerankd.engines.decoder import DecoderConfig
from rerankd.engines.rotary import LowFrequencies
from rerankd.models.folder_file import read_json, shown
from rerankd.models.sizes import Positive, Size
from rerankd.models.unsupported import refuse_unsupported


class _Rope(msgspec.Struct):
    """`rope_parameters` (transformers 5) or `rope_scaling` (older) of the kind "llama3"."""

    rope_type: str | None = None
    type: str | None = None
    factor: Positive = 1.0
    low_freq_factor: Positive = 1.0
    high_freq_factor: Positive = 4.0
    original_max_position_embeddings: Size | None = None


class _Fields(msgspec.Struct):
    """What Automodel's class reads beside Llama's sizes; defaults are its own."""

    pooling: str = "avg"
    temperature: Positive = 1.0
    is_causal: bool = False
    rope_parameters: _Rope | None = None
    rope_scaling: _Rope | None = None


def bidirectional_config(body: DecoderConfig, folder: Path) -> BidirectionalConfig:
    """The rest of it.

    Raises:
        StartError: it asks for what is not computed here.
    """
    path = folder / "config.json"
    raw = read_json(path, _Fields)
    rope = raw.rope_parameters or raw.rope_scaling or _Rope()
    is_stretched = (rope.rope_type or rope.type) == "llama3"
    wrong = {
        f"pooling {shown(raw.pooling)} (only 'avg')": raw.pooling != "avg",
        "is_causal true": raw.is_causal,
        f"{body.labels} labels (only 1)": body.labels != 1,
        f"high_freq_factor {rope.high_freq_factor}, which is not over low_freq_factor": (
            is_stretched and rope.high_freq_factor <= rope.low_freq_factor
        ),
    }
    refuse_unsupported(path, wrong)
    stretch = LowFrequencies(
        factor=rope.factor,
        low=rope.low_freq_factor,
        high=rope.high_freq_factor,
        positions=rope.original_max_position_embeddings or body.max_length,
    )
    return BidirectionalConfig(
        body=body, stretch=stretch if is_stretched else None, temperature=raw.temperature
    )
