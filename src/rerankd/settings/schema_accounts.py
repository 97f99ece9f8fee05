"""Settings of what is kept about keys, money and use; part of `schema`."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from rerankd.core.options import PositiveInt


class StoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where keys, prices, budgets and the usage ledger are kept."""

    url: Annotated[
        str | None,
        Meta(
            description="sqlite:////path/to/rerankd.db, or postgresql://user:password@host/name. "
            "Unset: nothing is kept. The password is never shown."
        ),
    ] = None
    journal: Annotated[
        str | None,
        Meta(
            description="Folder of what is not in the database yet, on a local disk, of this "
            "server alone. Unset: beside the file of SQLite; PostgreSQL needs it."
        ),
    ] = None
    journal_bytes: Annotated[
        int, Meta(ge=1, description="Bytes that may wait there for the database.")
    ] = 1_073_741_824
    durability: Annotated[
        Literal["process", "power"],
        Meta(
            description="What a line of the journal outlives: kill -9; or a loss of power, for "
            "some milliseconds per request."
        ),
    ] = "process"
    when_full: Annotated[
        Literal["refuse", "serve"],
        Meta(
            description="A request that the journal has no room for, or a full disk: 503; or "
            "answered, counted in `rerankd_ledger_lost_total` and never billed."
        ),
    ] = "refuse"
    retain_days: Annotated[
        PositiveInt | None,
        Meta(
            description="Rows of single requests older than that are removed once they are "
            "verified; hourly sums stay. Unset: never."
        ),
    ] = None
    poll_s: Annotated[
        float,
        Meta(gt=0, le=60, description="How often keys, prices and budgets are looked at again."),
    ] = 1.0
    shared: Annotated[
        bool,
        Meta(
            description="Several servers share this store: limits and budgets hold for all of them "
            "together. The same for all."
        ),
    ] = False
    when_away: Annotated[
        Literal["refuse", "alone"],
        Meta(
            description="With `shared`, a request with a limit while the store is away: 503; or "
            "counted by each server alone, up to its part of each limit. Budgets: 503."
        ),
    ] = "refuse"
    currency: Annotated[
        str, Meta(min_length=1, max_length=12, description="Of all prices and budgets.")
    ] = "USD"


class AdminSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The admin API, which a server with a store has."""

    hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="Names under which the admin API may be called, beside localhost and the "
            "address that the server listens on; a browser that comes by another is refused."
        ),
    ] = ()


class OidcSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sign-in to the console by an OpenID Connect issuer, beside that by keys."""

    issuer: Annotated[
        str | None,
        Meta(
            description="Its URL, exactly as its discovery document says it: "
            "https://login.example.com/realms/main. Unset: sign-in by keys only. "
            "Needs [store] and the extra `oidc`."
        ),
    ] = None
    client_id: Annotated[str, Meta(description="Under which it knows this server.")] = ""
    secret_env: Annotated[
        str | None,
        Meta(description="Variable with the client's secret; unset = a public client."),
    ] = None
    url: Annotated[
        str | None,
        Meta(
            description="This server as browsers reach it: https://rerank.example.com. The issuer "
            "sends them back to /ui/sign-in/oidc/back there."
        ),
    ] = None
    admin: Annotated[
        tuple[str, ...],
        Meta(
            description='Who administers: CLAIM=VALUE, such as "groups=ops"; one that fits is '
            "enough."
        ),
    ] = ()
    read: Annotated[
        tuple[str, ...],
        Meta(description="Who sees usage and requests, in the same form. Nobody else gets in."),
    ] = ()
    scopes: Annotated[tuple[str, ...], Meta(description="What is asked for; openid always is.")] = (
        "openid",
        "profile",
        "email",
    )
    name: Annotated[
        str | None,
        Meta(description="`Sign in with NAME` on the button; unset = its host."),
    ] = None
    allow: Annotated[
        tuple[str, ...],
        Meta(
            description="Hosts, addresses and networks on a private network that it may be at. "
            "Loopback needs none when `issuer` names it."
        ),
    ] = ()


class AlertSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who is told when a budget is spent to 80 and to 100 percent."""

    url: Annotated[
        str | None,
        Meta(description="Is sent a signed POST (Standard Webhooks); unset = nobody is told."),
    ] = None
    secret_env: Annotated[
        str | None,
        Meta(description="Variable with the secret of the signature, `whsec_` and base64."),
    ] = None
    allow: Annotated[
        tuple[str, ...],
        Meta(
            description="Hosts, addresses and networks on a private network that it may be at. "
            "Loopback needs none when `url` names it."
        ),
    ] = ()
