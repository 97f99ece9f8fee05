"""One request as the ledger keeps it: a line of the journal, then a row of `usage`."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

TokensFrom = Literal["", "exact", "upstream", "estimate"]


class AttemptRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One target of a routed name that was asked."""

    target: str
    upstream: str = ""  # "": a model of this server
    status: int = 0  # 0: there was no answer
    error: str = ""  # how it failed
    took_us: int = 0
    tokens: int | None = None  # that an upstream counted; None: it did not tell
    input_tokens: int = 0  # that its cost is computed with
    searches: int = 0
    cost_id: int | None = None
    cost_nano: int = 0
    maybe_billed_nano: int = 0  # it failed, and may bill it all the same


class UsageRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one request was, took and costs. No texts, no keys, no whole addresses.

    Times are microseconds, `*_us` of the clock since 1970; money is 10^-9 of the currency. Fields
    are those of the table, but `tries`, which become rows of `attempt`, and `held`; new ones have a
    default, so that a journal of an older version can be read.
    """

    request_id: str
    at_us: int  # when it was authenticated: which price is in force
    done_us: int
    status: int
    key_id: int | None = None  # None: a key of the file, or none
    key_name: str = ""
    team_id: int | None = None
    team: str = ""
    end_user: str = ""
    dialect: str = ""
    path: str = ""
    model_asked: str = ""
    model_answered: str = ""
    stood_in: int = 0  # 1: nobody serves model_asked, the alias `*` answered
    route: str = ""
    upstream: str = ""
    space: str = ""
    degraded: str = ""
    attempts: int = 0
    error: str = ""
    documents: int = 0
    pairs: int = 0
    input_tokens: int | None = 0  # None: whoever answered did not tell
    cached_tokens: int = 0
    image_tokens: int = 0
    searches: int = 0
    tokens_from: TokensFrom = ""
    price_id: int | None = None  # None: nobody priced it
    charge_nano: int = 0
    cost_id: int | None = None
    cost_nano: int = 0
    maybe_billed_nano: int = 0
    body_bytes: int = 0
    prepare_us: int = 0
    queue_us: int = 0
    engine_us: int = 0
    upstream_us: int = 0
    total_us: int = 0
    client_net: str = ""
    tries: tuple[AttemptRow, ...] = ()
    # Of each budget that servers share: its name, start of the window, and what it took of it.
    held: tuple[tuple[str, int, int], ...] = ()


_NO_COLUMNS: Final = {"tries", "held"}
COLUMNS: Final = tuple(name for name in UsageRow.__struct_fields__ if name not in _NO_COLUMNS)
