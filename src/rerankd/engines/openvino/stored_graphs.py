"""Compiled graphs that a start before this one left on the disk (engines.graph_files)."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Callable, Mapping
from functools import cache as once
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from rerankd.core.graph_cache import GraphCache
from rerankd.engines import graph_files
from rerankd.engines.graph_source import current_cache
from rerankd.engines.openvino.graph_digest import graph_digest
from rerankd.engines.openvino.runtime import Model, core, ov

# Constants of a graph that is kept. To read and check one takes 0.7 of the time of its compilation
# for small encoders, and several times that time for 500 MB and more.
MOST_BYTES: Final = 128 << 20


def stored(model: Model, options: Mapping[str, Any], compiled: Callable[[], Any]) -> Any:
    """The graph compiled with these options: as an earlier start left it, or anew, and then kept.

    Args:
        model: the graph.
        options: those of OpenVINO.
        compiled: compiles it; what it raises is raised here.
    """
    cache = current_cache()
    if cache is None or _constant_bytes(model) > MOST_BYTES:
        return compiled()
    key = _key(cache, model, options)
    found = graph_files.read(cache, key)
    if found is not None:
        try:
            return core().import_model(BytesIO(found), "CPU", dict(options))
        except RuntimeError as error:
            graph_files.refuse(cache, key, f"OpenVINO cannot read it: {error}")
    made = compiled()
    graph_files.write(cache, key, made.export_model().getvalue())
    return made


def _key(cache: GraphCache, model: Model, options: Mapping[str, Any]) -> str:
    """SHA-256 of all that a compiled graph depends on, weights and processor included."""
    digest = hashlib.sha256(graph_digest(model, sampled=False))
    digest.update(repr((cache.version, ov.__version__, sorted(options.items()))).encode())
    digest.update(_processor().encode())
    return digest.hexdigest()


@once
def _processor() -> str:
    """The processor, its features, and the switch that hides some of them from the library."""
    names = ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")
    said = [core().get_property("CPU", name) for name in names]
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    isa = os.environ.get("ONEDNN_MAX_CPU_ISA", "")
    return repr((platform.machine(), said, flags, isa))


def _constant_bytes(model: Model) -> int:
    constants = (each for each in model.get_ops() if each.get_type_name() == "Constant")
    return sum(each.get_byte_size() for each in constants)
