"""Every GET that is served: one list, for the routes and for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rerankd.dialects.base import AnyEndpoint, Probe
from rerankd.dialects.registry import Registry
from rerankd.web.reports import HealthReport, ModelInfo, ModelList, ReadyReport, UserInfo

What = Literal[
    "probe",
    "models",
    "model",
    "user",
    "own",
    "health",
    "ready",
    "metrics",
    "root",
    "openapi",
    "docs",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Get:
    """One GET."""

    path: str  # {name} stands for a part of it
    what: What
    summary: str = ""  # "" = about the API, not of it: not in the document
    answer: Any = None  # the type of a 200's JSON; None = a text
    speaker: AnyEndpoint | None = None  # in whose form errors are; None = it has none
    probe: Probe | None = None
    slash: bool = False  # served with a slash at its end as well


def gets(registry: Registry, own: Sequence[Get] = ()) -> Iterator[Get]:
    """All, in the order in which they are looked for: a dialect's own goes before what all have.

    Args:
        registry: the dialects.
        own: what callers may read of their keys, where there is a store.
    """
    for path, probe, dialect in registry.probes:
        yield Get(
            path=path,
            what="probe",
            summary=probe.summary,
            answer=probe.answer,
            speaker=dialect,
            probe=probe,
            slash=True,
        )
    starts = _starts(registry)
    for start, speaker in starts.items():
        for below in ("/v1/models", "/models"):
            yield from _model_list(start + below, speaker)
    for start in ("", "/siliconflow"):
        if start in starts:
            yield Get(
                path=f"{start}/v1/user/info",
                what="user",
                summary="Whose key this is, as SiliconFlow says it.",
                answer=UserInfo,
                speaker=starts[start],
            )
    yield from own
    for start in starts:
        yield Get(
            path=f"{start}/health",
            what="health",
            summary="Does every model really score?",
            answer=HealthReport,
        )
    yield Get(path="/ready", what="ready", summary="Send requests here?", answer=ReadyReport)
    yield Get(path="/metrics", what="metrics", summary="Prometheus metrics.")
    yield Get(path="/", what="root")
    yield Get(path="/openapi.json", what="openapi")
    yield Get(path="/docs", what="docs")


def _model_list(path: str, speaker: AnyEndpoint) -> Iterator[Get]:
    """The list, and below it `/NAME` for one model."""
    yield Get(
        path=path,
        what="models",
        summary="What is served, default first.",
        answer=ModelList,
        speaker=speaker,
        slash=True,
    )
    yield Get(
        path=path + "/{name}",
        what="model",
        summary="One served name.",
        answer=ModelInfo,
        speaker=speaker,
    )


def _starts(registry: Registry) -> dict[str, AnyEndpoint]:
    return {"": registry.root, **{f"/{name}": found for name, found in registry.prefixes.items()}}
