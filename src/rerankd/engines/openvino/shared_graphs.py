"""Compiled graphs that several engines run: compiled once, freed with the last engine.

Each engine has its own infer requests. They share the graph's weights and its threads, so that two
models of one folder take the memory and the cores of one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final
from weakref import WeakValueDictionary

from rerankd.engines.graph_source import current_files
from rerankd.engines.openvino.graph_digest import graph_digest
from rerankd.engines.openvino.runtime import Model

_lock: Final = threading.Lock()  # held while one is compiled: two would be too many
_graphs: Final[WeakValueDictionary[Hashable, Any]] = WeakValueDictionary()


def shared(model: Model, options: Mapping[str, Any], compiled: Callable[[], Any]) -> Any:
    """The graph compiled with these options: one that an engine runs already, or a new one.

    Args:
        model: the graph.
        options: those of OpenVINO.
        compiled: compiles it; what it raises is raised here.
    """
    files = current_files()
    if not files:
        return compiled()
    key = (files, graph_digest(model, sampled=True), tuple(sorted(options.items())))
    with _lock:
        found = _graphs.get(key)
        if found is None:
            found = _graphs[key] = compiled()
        return found


def running() -> int:
    """How many graphs there are that could be shared."""
    return len(_graphs)
