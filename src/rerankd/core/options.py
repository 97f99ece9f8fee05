"""What an operator may choose about how a model runs."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from rerankd.core.errors import StartError

EngineName = Literal["openvino", "torch"]
Quantization = Literal["int8"]
Precision = Literal["fp32", "bf16", "fp16", "int8"]
PrecisionSetting = Precision | Literal["auto"]
Score = Literal["sigmoid", "raw", "cosine", "mean"]
PromptName = Literal[
    "qwen3-reranker", "r3", "mxbai-v2", "zerank", "contextual", "bge-gemma", "nemotron", "plain"
]
PositiveInt = Annotated[int, Meta(ge=1)]

VECTOR_CACHE_BYTES: Final = 32 << 20  # the vectors of 1,270 documents of 192 tokens


class LoadOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How one model is to be run; the defaults are fp32 on the CPU, and the card's window.

    These are settings of the section [model."NAME"], declared here for all.
    """

    window_tokens: Annotated[
        Annotated[int, Meta(ge=16)] | None,
        Meta(description="Longest row; unset = the model card's."),
    ] = None
    engine: Annotated[
        EngineName,
        Meta(description='What runs it: "openvino" on the CPU, or "torch" (rerankd[torch]).'),
    ] = "openvino"
    quantization: Annotated[
        Quantization | None,
        Meta(description='"int8": another word for precision = "int8".'),
    ] = None
    device: Annotated[
        str | None, Meta(description='torch only: "cpu", "cuda:1"; unset = a GPU if there is one.')
    ] = None
    precision: Annotated[
        PrecisionSetting | None,
        Meta(
            description='"fp32", "bf16", "int8"; torch: "fp32", "bf16", "fp16"; "auto": the '
            "fastest that agrees with fp32 here; unset = fp32, torch on a GPU bf16. See below."
        ),
    ] = None
    streams: Annotated[
        PositiveInt | None,
        Meta(
            description="Encoders on the CPU: batches at once; unset = usable cores. "
            "Decoders run one."
        ),
    ] = None
    score: Annotated[
        Score | None,
        Meta(
            description='relevance_score: "sigmoid" of the logit, "raw" the logit; "mean" of a '
            'ColBERT model\'s best dot products; "cosine" makes a reranker of an embedding model; '
            "unset = as the folder or the model card says."
        ),
    ] = None
    prompt: Annotated[
        PromptName | None,
        Meta(
            description="Decoders: the prompt that the weights were trained with; unset = the "
            "model card's, or the folder's chat template."
        ),
    ] = None


BY_THE_CARD = LoadOptions()


def asked_precision(options: LoadOptions) -> PrecisionSetting | None:
    """The precision that the operator asks for, in either word; None = he leaves it open.

    Raises:
        StartError: both settings are there, and they contradict each other.
    """
    precision, quantization = options.precision, options.quantization
    if precision is not None and quantization is not None and precision != quantization:
        raise StartError(
            f'precision = "{precision}" and quantization = "{quantization}" contradict each '
            "other; leave quantization unset."
        )
    return precision or quantization
