"""The one place that imports OpenVINO, with its telemetry kept out.

`import openvino` runs `openvino.tools.ovc`, which creates ~/intel/openvino_ga_cid and sends an
"import" event from a thread unless the user opted out (openvino 2026.4.1,
openvino/tools/ovc/__init__.py). The package tolerates that both cannot be imported, so here they
cannot: `openvino.tools.ovc` during the import (only model conversion needs it, and it costs 0.2 s),
`openvino_telemetry` for the life of the process (a later import of ovc then uses its own stub).

It is also the one place that bounds how many kernels oneDNN keeps: one for each shape of each
matrix product, up to 1024 in the process, 0.17 MB each, beside those that OpenVINO keeps. oneDNN
takes the number from the environment alone (oneDNN's documentation, "Primitive Cache"); an
operator's own value is left as it is.

Nodes are `Any`: OpenVINO's stubs do not type the opset factories.
"""

from __future__ import annotations

import importlib
import os
import sys
from functools import cache
from types import ModuleType
from typing import Any, TypeAlias

Node: TypeAlias = Any
Model: TypeAlias = Any

_KERNELS = "64"
_TELEMETRY = "openvino_telemetry"
_CONVERTER = "openvino.tools.ovc"


def _import_quietly() -> tuple[ModuleType, ModuleType]:
    """openvino and its newest stable opset; a host that imported it before us keeps its own."""
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", _KERNELS)
    hidden: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]
    if "openvino" not in sys.modules:
        hidden.setdefault(_TELEMETRY, None)  # None makes `import` raise ImportError
        converter_hidden = _CONVERTER not in sys.modules
        if converter_hidden:
            hidden[_CONVERTER] = None
        try:
            module = importlib.import_module("openvino")
        finally:
            if converter_hidden:
                del hidden[_CONVERTER]
    else:
        module = sys.modules["openvino"]
    return module, importlib.import_module("openvino.opset15")


ov, ops = _import_quietly()


@cache
def core() -> Any:
    """The one Core of the process: another would load the plugin for the CPU again, 15 ms."""
    return ov.Core()
