"""Settings of prices and costs; part of `schema`. Amounts are decimal texts, never floats."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class _Paid(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is paid for what; the names are those of `accounts.written`."""

    per_1m_input_tokens: Annotated[
        str | None, Meta(description='For a million input tokens, as "0.10".')
    ] = None
    per_1k_searches: Annotated[
        str | None, Meta(description="For a thousand searches; each query begins one.")
    ] = None
    search_documents: Annotated[
        int, Meta(ge=1, description="Documents of one query that are one search.")
    ] = 100
    per_1m_image_tokens: Annotated[
        str | None,
        Meta(
            description="For a million tokens of images, which then are no input tokens. Unset: "
            "they are as others."
        ),
    ] = None
    per_request: Annotated[str | None, Meta(description="For each request.")] = None
    minimum: Annotated[str | None, Meta(description="Of one request, at least.")] = None
    currency: Annotated[
        str | None, Meta(description="That of [store], if it is to be seen here.")
    ] = None


class PriceSettings(
    _Paid, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"starts": "from"}
):
    """What callers pay for a model or a route."""

    model: Annotated[
        str, Meta(description='A name that requests ask for, or "*": all that have no price.')
    ]
    starts: Annotated[
        str | None,
        Meta(description="Date or time it is in force from, without quotes; unset = at once."),
    ] = None

    @property
    def label(self) -> str:
        """As `rerankd config` names it."""
        return f"{self.model}@{self.starts or 'now'}"


class CostSettings(
    _Paid, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"starts": "from"}
):
    """What an upstream takes for a model."""

    upstream: Annotated[str, Meta(description="Its name in `[upstream]`.")]
    name: Annotated[
        str, Meta(description='Its own name of the model, or "*": all that have no cost.')
    ] = "*"
    starts: Annotated[
        str | None,
        Meta(description="Date or time it is in force from, without quotes; unset = at once."),
    ] = None

    @property
    def label(self) -> str:
        """As `rerankd config` names it."""
        return f"{self.upstream}/{self.name}@{self.starts or 'now'}"
