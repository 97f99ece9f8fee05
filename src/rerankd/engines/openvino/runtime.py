"""The one place that imports OpenVINO, with its telemetry kept out.

`import openvino` runs `openvino.tools.ovc`, which creates ~/intel/openvino_ga_cid and sends an
"import" event from a thread unless the user opted out (openvino 2026.4.1,
openvino/tools/ovc/__init__.py). The package tolerates that both cannot be imported, so here they
cannot: `openvino.tools.ovc` during the import (only model conversion needs it, and it costs 0.2 s),
`openvino_telemetry` for the life of the process (a later import of ovc then uses its own stub).

Nodes are `Any`: OpenVINO's stubs do not type the opset factories.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any, TypeAlias

Node: TypeAlias = Any
Model: TypeAlias = Any

_TELEMETRY = "openvino_telemetry"
_CONVERTER = "openvino.tools.ovc"


def _import_quietly() -> tuple[ModuleType, ModuleType]:
    """openvino and its newest stable opset; a host that imported it before us keeps its own."""
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
