"""A graph as a number: its operations, how they hang together, and its constants."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rerankd.engines.openvino.runtime import Model

_WHOLE_BYTES: Final = 65_536  # constants of more are sampled, where samples are enough
_SAMPLES: Final = 16
_SAMPLE_BYTES: Final = 4096


def graph_digest(model: Model, *, sampled: bool) -> bytes:
    """SHA-256 of all that a graph computes.

    Args:
        model: the graph, 20 ms for a thousand operations.
        sampled: whether samples of large constants are enough, because it is known otherwise which
            files they come from. Else every byte counts: 0.7 s for each GB.
    """
    digest = hashlib.sha256()
    places: dict[str, int] = {}
    for place, operation in enumerate(model.get_ordered_ops()):
        places[operation.get_friendly_name()] = place
        inputs = [
            (places[value.get_node().get_friendly_name()], value.get_index())
            for value in operation.input_values()
        ]
        kind = operation.get_type_name()
        digest.update(repr((kind, operation.get_attributes(), inputs)).encode())
        if kind == "Constant":
            _add(digest, np.ascontiguousarray(operation.data).reshape(-1).view(np.uint8), sampled)
    return digest.digest()


def _add(digest: Any, data: npt.NDArray[np.uint8], sampled: bool) -> None:  # noqa: FBT001
    if not sampled or data.size <= _WHOLE_BYTES:
        digest.update(data.data)
        return
    for sample in range(_SAMPLES):
        start = data.size * sample // _SAMPLES
        digest.update(data[start : start + _SAMPLE_BYTES].data)
    digest.update(data[-_SAMPLE_BYTES:].data)
