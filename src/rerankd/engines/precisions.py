"""Which precisions each kind of model runs in: one table, from which refusals and `auto` follow.

What is refused is refused before a weight is read. Nothing behind engines.build knows "auto" or
`quantization`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from rerankd.core.errors import PrecisionUnavailable
from rerankd.core.options import LoadOptions, Precision, asked_precision

TorchPrecision = Literal["fp32", "bf16", "fp16"]

# On OpenVINO, by the architecture of an encoder's, a decoder's or a body's sizes, or by the kind of
# model where that decides.
OPENVINO: Final[Mapping[str, tuple[Precision, ...]]] = {
    "bert": ("fp32", "bf16", "int8"),
    "xlm-roberta": ("fp32", "bf16", "int8"),
    "electra": ("fp32", "bf16", "int8"),
    "distilbert": ("fp32", "bf16", "int8"),
    "modernbert": ("fp32", "bf16", "int8"),
    "deberta-v2": ("fp32", "bf16", "int8"),
    "gte": ("fp32", "bf16", "int8"),
    # no bf16: its heads run in a loop of the graph, in which a long row now and then comes out
    # wrong in bf16 when several streams begin at once (OpenVINO 2026.4.1)
    "jina-bert": ("fp32", "int8"),
    "llama-bidirectional": ("fp32", "bf16", "int8"),
    "modules": ("fp32", "bf16", "int8"),  # a cross-encoder of modules
    "qwen3": ("fp32", "bf16", "int8"),
    "qwen2": ("fp32", "bf16", "int8"),
    "llama": ("fp32", "bf16", "int8"),
    "mistral": ("fp32", "bf16", "int8"),
    "gemma": ("fp32", "bf16", "int8"),
    "listwise": ("fp32", "bf16", "int8"),
    "colbert": ("fp32", "bf16", "int8"),
    "bi-encoder": ("fp32", "bf16", "int8"),
}
_TORCH_TOO: Final = ("bert", "xlm-roberta", "modernbert", "qwen3", "qwen2", "llama", "mistral")


def openvino_precision(options: LoadOptions, kind: str, what: str) -> Precision:
    """What the operator chose for a model on OpenVINO; fp32 where nothing is said.

    Args:
        options: the operator's choice, "auto" decided.
        kind: a key of OPENVINO.
        what: the kind, as a person calls it.

    Raises:
        PrecisionUnavailable: this kind of model does not run in it.
        StartError: `precision` and `quantization` contradict each other.
    """
    chosen = _decided(options) or "fp32"
    if chosen not in OPENVINO[kind]:
        *others, last = OPENVINO[kind]
        runs = f"{', '.join(others)} and {last}" if others else f"{last} only"
        elsewhere = (
            ', or set engine = "torch" for another precision'
            if kind in _TORCH_TOO and chosen != "int8"
            else ""
        )
        raise PrecisionUnavailable(
            f"{_written(options)} is not for {what}, which OpenVINO runs in {runs}. Leave it "
            f"unset to run it in fp32{elsewhere}."
        )
    return chosen


def torch_precision(options: LoadOptions) -> TorchPrecision | None:
    """What the operator chose for a model on torch; None = as the device has it.

    Raises:
        PrecisionUnavailable: int8, which torch does not run here.
        StartError: as openvino_precision().
    """
    chosen = _decided(options)
    if chosen == "int8":
        raise PrecisionUnavailable(
            f'{_written(options)} is for engine = "openvino"; on torch set precision = "bf16" or '
            '"fp16" to run in less than fp32.'
        )
    return chosen


def _decided(options: LoadOptions) -> Precision | None:
    chosen = asked_precision(options)
    if chosen == "auto":
        raise ValueError('precision = "auto" is decided before an engine is built')
    return chosen


def _written(options: LoadOptions) -> str:
    """The setting that says the precision."""
    if options.precision is None and options.quantization is not None:
        return f'quantization = "{options.quantization}"'
    return f'precision = "{options.precision}"'
