"""`rerankd prices`: the history of what callers pay, and of what upstreams take."""

from __future__ import annotations

from typing import Annotated, Final

from cyclopts import Parameter

from rerankd.accounts.price import Kind
from rerankd.accounts.written import WrittenPrice, price_of
from rerankd.cli.stored import Config, Json, Store, opened, print_json, say, table
from rerankd.cli.terminal import console
from rerankd.store.prices import PriceRepo, PriceRow

_PAGE: Final = 500


def listed(
    *,
    model: str | None = None,
    upstream: str | None = None,
    kind: Kind | None = None,
    json: Json = False,
    store: Store = None,
    config: Config = None,
) -> None:
    """List prices and costs, with those to come and those that others have followed.

    Parameters
    ----------
    model
        Of this name only.
    upstream
        What this upstream takes only.
    kind
        Only what callers pay (price), or what upstreams take (cost).
    """
    with opened(store, config) as found:
        repo, rows = PriceRepo(found.database, found.settings.store.currency), list[PriceRow]()
        while page := repo.list(
            kind=kind,
            model=model,
            upstream=upstream,
            after=rows[-1].id if rows else 0,
            limit=_PAGE,
        ):
            rows += page
    if json:
        print_json(rows)
        return
    shown = table("id", "of", "starts", "1M tokens", "1k searches", "1M image", "request", "least")
    for row in sorted(rows, key=lambda row: (row.kind, row.upstream, row.model, row.starts)):
        searches = f"{row.per_1k_searches} of {row.search_documents}"
        shown.add_row(
            str(row.id),
            f"{row.upstream}/{row.model} (cost)" if row.kind == "cost" else row.model,
            row.starts,
            row.per_1m_input_tokens,
            searches if row.per_1k_searches != "0" else "0",
            row.per_1m_image_tokens or "",
            row.per_request,
            row.minimum,
        )
    console().print(shown)


def add(  # noqa: PLR0913 - one for each flag
    model: str,
    /,
    *,
    upstream: str | None = None,
    per_1m_input_tokens: str | None = None,
    per_1k_searches: str | None = None,
    search_documents: int = 100,
    per_1m_image_tokens: str | None = None,
    per_request: str | None = None,
    minimum: str | None = None,
    currency: str | None = None,
    starts: Annotated[str | None, Parameter(name="--from")] = None,
    json: Json = False,
    store: Store = None,
    config: Config = None,
) -> None:
    """Add a price, which follows those that there are: none is ever changed.

    Parameters
    ----------
    model
        The name that requests ask for, or "*": all that have no price of their own.
    upstream
        Not what callers pay, but what this upstream takes for its model.
    per_1m_input_tokens
        For a million input tokens, as 0.10.
    per_1k_searches
        For a thousand searches; each query begins one.
    search_documents
        Documents of one query that are one search.
    per_1m_image_tokens
        For a million tokens of images, which then are no input tokens.
    per_request
        For each request.
    minimum
        Of one request, at least.
    currency
        Checked against that of the store.
    starts
        Date or time from which it is in force, UTC unless it says another; default: in 5 s, when
        all servers know it.
    """
    written = WrittenPrice(
        model=model,
        upstream=upstream,
        per_1m_input_tokens=per_1m_input_tokens,
        per_1k_searches=per_1k_searches,
        search_documents=search_documents,
        per_1m_image_tokens=per_1m_image_tokens,
        per_request=per_request,
        minimum=minimum,
        currency=currency,
        starts=starts,
    )
    with opened(store, config) as found:
        used = found.settings.store.currency
        price = price_of(written, "price" if upstream is None else "cost", used)
        row = PriceRepo(found.database, used).add(price)
    if json:
        print_json(row)
    else:
        say(f"{price.label}: number {row.id}, in force from {row.starts}.")
