"""Settings of traces; part of `schema`."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class TraceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where spans of requests are sent, as OTLP over HTTP."""

    endpoint: Annotated[
        str | None,
        Meta(
            description="URL of a collector, as http://127.0.0.1:4318/v1/traces. "
            "Unset: no traces. Needs the extra `otel`.",
        ),
    ] = None
    sample_percent: Annotated[
        float,
        Meta(
            ge=0,
            le=100,
            description="Of the requests whose caller has no trace of his own; "
            "whether a caller's is sampled, he says.",
        ),
    ] = 100.0
    service: Annotated[
        str, Meta(min_length=1, max_length=200, description="`service.name` of all spans.")
    ] = "rerankd"
