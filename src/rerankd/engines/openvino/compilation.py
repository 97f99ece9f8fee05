"""A graph compiled for this CPU in the precision that was asked for, read back afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from rerankd.core.errors import PrecisionUnavailable, StartError
from rerankd.core.options import Precision
from rerankd.engines.openvino.arithmetic import bf16_is_right
from rerankd.engines.openvino.runtime import Model, core
from rerankd.engines.openvino.shared_graphs import shared
from rerankd.engines.openvino.stored_graphs import stored

# Every new shape of a batch leaves kernels in a cache of 5000: hundreds of MB in the end.
KERNELS: Final = 256

_HINTS: Final[Mapping[Precision, str]] = {"fp32": "f32", "bf16": "bf16"}


def compile_graph(  # noqa: PLR0913 - what a graph may be compiled for
    model: Model,
    *,
    streams: int,
    threads: int,
    precision: Precision,
    between: Literal["fp32", "bf16"] = "fp32",
    group: int = 0,
    kernels: int = KERNELS,
    fuses: bool = True,
) -> Any:
    """The graph compiled for `streams` calls at once that share `threads`.

    Where another model of the same files runs it already, it is that one (shared_graphs).

    Args:
        model: the graph.
        streams: calls at once.
        threads: of all streams together.
        precision: of matrix products and what lies between them. "int8" takes a graph whose
            matrices are int8 rows.
        between: precision of what lies between int8 products; fp32 on a CPU that has no bf16.
        group: that of the int8 rows (encoder.Int8Rows).
        kernels: how many it keeps for shapes that come again.
        fuses: whether attention becomes one operation: a third of the time of compilation for a
            small encoder, which may run as fast without.

    Raises:
        PrecisionUnavailable: this CPU does not compute rightly in it.
        StartError: OpenVINO cannot do that here.
    """
    if precision == "int8":
        hint = _HINTS["bf16" if between == "bf16" and bf16_is_right() else "fp32"]
    else:
        hint = _HINTS.get(precision)
    if hint is None or (precision == "bf16" and not bf16_is_right()):
        raise PrecisionUnavailable(
            f'precision = "{precision}" cannot run on this CPU by OpenVINO; leave it unset to run '
            "the model in fp32."
        )
    options: dict[str, Any] = {
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "THROUGHPUT",
        "INFERENCE_PRECISION_HINT": hint,
        "EXECUTION_MODE_HINT": "ACCURACY",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": group,
        "CPU_RUNTIME_CACHE_CAPACITY": kernels,
        # several engine processes on one machine must not pin their threads to the same cores
        "ENABLE_CPU_PINNING": False,
    }
    if not fuses:
        options["SNIPPETS_MODE"] = "DISABLE"
    return shared(model, options, lambda: _checked(model, options))


def _checked(model: Model, options: Mapping[str, Any]) -> Any:
    """The graph with all options as they were set. Raises StartError."""
    try:
        compiled = stored(model, options, lambda: core().compile_model(model, "CPU", dict(options)))
    except RuntimeError as error:
        raise StartError(f"OpenVINO could not compile the model for this CPU: {error}") from error
    hint, group = options["INFERENCE_PRECISION_HINT"], options["DYNAMIC_QUANTIZATION_GROUP_SIZE"]
    found = str(compiled.get_property("INFERENCE_PRECISION_HINT").to_string())
    if found != hint:
        raise StartError(f"OpenVINO would run the model in {found} instead of {hint} here.")
    rounded = int(compiled.get_property("DYNAMIC_QUANTIZATION_GROUP_SIZE"))
    if rounded != group:
        raise StartError(f"OpenVINO would round by groups of {rounded} instead of {group} here.")
    return compiled
