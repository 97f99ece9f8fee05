"""The GETs that every prefix has: one list, for the routes and for the OpenAPI document."""

from __future__ import annotations

from rerankd.dialects.base import AnyEndpoint
from rerankd.dialects.registry import Registry


def model_lists(registry: Registry) -> dict[str, AnyEndpoint]:
    """Paths of the model list, and who speaks there; below each, `/NAME` is one model.

    A dialect's own probe at such a path goes before it.
    """
    return {
        start + below: speaker
        for start, speaker in _starts(registry).items()
        for below in ("/v1/models", "/models")
    }


def user_infos(registry: Registry) -> dict[str, AnyEndpoint]:
    """Paths of SiliconFlow's question who a key is, and who speaks there."""
    starts = _starts(registry)
    asked = {start: starts[start] for start in ("", "/siliconflow") if start in starts}
    return {f"{start}/v1/user/info": speaker for start, speaker in asked.items()}


def healths(registry: Registry) -> tuple[str, ...]:
    """Paths of the health report."""
    return tuple(f"{start}/health" for start in _starts(registry))


def _starts(registry: Registry) -> dict[str, AnyEndpoint]:
    return {"": registry.root, **{f"/{name}": found for name, found in registry.prefixes.items()}}
