"""What an operator may choose about how a model runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

EngineName = Literal["openvino", "torch"]
Quantization = Literal["int8"]
Precision = Literal["fp32", "bf16", "fp16"]

VECTOR_CACHE_BYTES: Final = 32 << 20  # the vectors of 1,270 documents of 192 tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """How one model is to be run; the defaults are fp32 on the CPU."""

    engine: EngineName = "openvino"
    quantization: Quantization | None = None  # of the weights; never on by itself
    device: str | None = None  # torch only: "cpu", "cuda", "cuda:1"; None = a GPU if there is one
    precision: Precision | None = None  # torch only; None = fp32 on a CPU, bf16 on a GPU
    streams: int | None = None  # OpenVINO encoders only: batches at once; None = usable cores


CPU_FP32 = EngineOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """What an operator chose for one model; the defaults leave all to the model card."""

    window_tokens: int | None = None
    engine: EngineOptions = CPU_FP32


BY_THE_CARD = LoadOptions()
