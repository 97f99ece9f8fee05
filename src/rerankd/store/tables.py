"""Every table of the store. Times: microseconds since 1970 in UTC; money: 10^-9 of the currency.

A change here is a new file in migrations/versions; tests/store/test_migrate.py compares the two.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

METADATA: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
_ID: Final = BigInteger().with_variant(Integer, "sqlite")  # which numbers only INTEGER keys
_JSON: Final = JSON(none_as_null=True)


def _id() -> Column[int]:
    return Column("id", _ID, primary_key=True)


def _int(name: str, *, default: int | None = None, primary_key: bool = False) -> Column[int]:
    """A number that is always there."""
    return Column(
        name,
        BigInteger,
        nullable=False,
        primary_key=primary_key,
        autoincrement=False,
        default=default,
    )


def _maybe(name: str) -> Column[int]:
    """A number that may be unknown, or unset."""
    return Column(name, BigInteger, nullable=True)


def _text(name: str, *, primary_key: bool = False) -> Column[str]:
    return Column(name, Text, nullable=False, primary_key=primary_key, default="")


def _needed(name: str, *, primary_key: bool = False) -> Column[str]:
    """A text that nobody may leave out."""
    return Column(name, Text, nullable=False, primary_key=primary_key)


meta: Final = Table("meta", METADATA, _needed("name", primary_key=True), _needed("value"))

team: Final = Table(
    "team",
    METADATA,
    _id(),
    Column("name", Text, nullable=False, unique=True),
    Column("limits", _JSON),
    _text("note"),
    _int("version", default=1),
    _int("created_us"),
    _maybe("archived_us"),
)

api_key: Final = Table(
    "api_key",
    METADATA,
    _id(),
    Column("public_id", Text, nullable=False, unique=True),
    _needed("name"),
    Column("team_id", BigInteger, ForeignKey("team.id"), nullable=True),
    _needed("role"),
    Column("models", _JSON),
    _maybe("rpm"),
    _maybe("tpm"),
    _maybe("rpd"),
    _maybe("tpd"),
    _maybe("in_flight"),
    Column("networks", _JSON),
    _maybe("expires_us"),
    _int("created_us"),
    _maybe("revoked_us"),
    _text("note"),
    Column("tags", _JSON),
    _int("version", default=1),
    _int("change", default=0),
    CheckConstraint("role in ('call', 'explain', 'read', 'admin')", name="role"),
)
Index("ix_api_key_change", api_key.c.change)
Index("ix_api_key_team_id", api_key.c.team_id)
Index(  # a name is free again when its key is revoked
    "uq_api_key_name",
    api_key.c.name,
    unique=True,
    sqlite_where=api_key.c.revoked_us.is_(None),
    postgresql_where=api_key.c.revoked_us.is_(None),
)

key_digest: Final = Table(
    "key_digest",
    METADATA,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("key_id", BigInteger, ForeignKey("api_key.id"), nullable=False, index=True),
    _maybe("until_us"),  # of a key that was rotated; null = as long as the key is good
)

budget: Final = Table(
    "budget",
    METADATA,
    _id(),
    Column("key_id", BigInteger, ForeignKey("api_key.id"), nullable=True, index=True),
    Column("team_id", BigInteger, ForeignKey("team.id"), nullable=True, index=True),
    _needed("unit"),
    _int("amount"),
    _needed("window"),
    _text("tz"),
    _int("created_us"),
    _maybe("ended_us"),
    _int("version", default=1),
    CheckConstraint("unit in ('requests', 'tokens', 'searches', 'money')", name="unit"),
    CheckConstraint("\"window\" in ('minute', 'hour', 'day', 'month', 'total')", name="window"),
    CheckConstraint("amount >= 0", name="amount"),
    CheckConstraint("key_id is null or team_id is null", name="of"),
)

topup: Final = Table(
    "topup",
    METADATA,
    _id(),
    Column("key_id", BigInteger, ForeignKey("api_key.id"), nullable=True, index=True),
    Column("team_id", BigInteger, ForeignKey("team.id"), nullable=True, index=True),
    _int("amount_nano"),
    _int("at_us"),
    _text("by"),
    _text("note"),
    Column("idem", Text, nullable=True, unique=True),
    CheckConstraint("(key_id is null) <> (team_id is null)", name="of"),
)

price: Final = Table(
    "price",
    METADATA,
    _id(),
    _needed("kind"),
    _needed("model"),
    _text("upstream"),
    _int("per_1m_input_nano", default=0),
    _int("per_1k_search_nano", default=0),
    _int("search_documents", default=100),
    _maybe("per_1m_image_nano"),  # null: image tokens are input tokens
    _int("per_request_nano", default=0),
    _int("minimum_nano", default=0),
    _needed("currency"),
    _int("starts_us"),
    _int("added_us"),
    UniqueConstraint("kind", "model", "upstream", "starts_us"),
    CheckConstraint("kind in ('price', 'cost')", name="kind"),
    CheckConstraint("search_documents > 0", name="search_documents"),
)

# One row a request. `entry` = name of its journal and where its line begins in it.
usage: Final = Table(
    "usage",
    METADATA,
    _needed("entry", primary_key=True),
    _needed("request_id"),
    _int("at_us"),
    _int("done_us"),
    _maybe("key_id"),  # null: a key of the file, or none
    _text("key_name"),
    _maybe("team_id"),
    _text("team"),
    _text("end_user"),
    _text("dialect"),
    _text("path"),
    _text("model_asked"),
    _text("model_answered"),
    _int("stood_in", default=0),
    _text("route"),
    _text("upstream"),
    _text("space"),
    _text("degraded"),
    _int("attempts", default=0),
    _int("status"),
    _text("error"),
    _int("documents", default=0),
    _int("pairs", default=0),
    _maybe("input_tokens"),  # null: whoever answered did not tell
    _int("cached_tokens", default=0),
    _int("image_tokens", default=0),
    _int("searches", default=0),
    _text("tokens_from"),
    _maybe("price_id"),  # null: nobody priced it, the charge is 0
    _int("charge_nano", default=0),
    _maybe("cost_id"),
    _int("cost_nano", default=0),
    _int("maybe_billed_nano", default=0),
    _int("body_bytes", default=0),
    _int("prepare_us", default=0),
    _int("queue_us", default=0),
    _int("engine_us", default=0),
    _int("upstream_us", default=0),
    _int("total_us", default=0),
    _text("client_net"),
)
Index("ix_usage_at", usage.c.at_us, usage.c.entry)
Index("ix_usage_key", usage.c.key_id, usage.c.at_us, usage.c.entry)
Index("ix_usage_team", usage.c.team_id, usage.c.at_us, usage.c.entry)
Index("ix_usage_request_id", usage.c.request_id)

attempt: Final = Table(
    "attempt",
    METADATA,
    _needed("entry", primary_key=True),
    _int("n", primary_key=True),
    _needed("target"),
    _text("upstream"),
    _int("status", default=0),
    _text("error"),
    _int("took_us", default=0),
    _maybe("tokens"),  # that an upstream counted
    _int("input_tokens", default=0),  # that its cost is computed with
    _int("searches", default=0),
    _maybe("cost_id"),
    _int("cost_nano", default=0),
    _int("maybe_billed_nano", default=0),
)

# Total times of requests are counted in classes: at most so many milliseconds; the last: more.
TOOK_MS: Final = (10, 30, 100, 300, 1_000, 3_000, 10_000)
TOOK: Final = (*(f"took_{ms}ms" for ms in TOOK_MS), "took_longer")
HOUR_KEY: Final = (
    *("hour_us", "key_id", "key_name", "team_id", "model", "route", "upstream", "dialect"),
    "status_class",
)
HOUR_SUMS: Final = (
    *("requests", "documents", "pairs", "input_tokens", "unknown_tokens", "cached_tokens"),
    *("image_tokens", "searches", "charge_nano", "cost_nano", "maybe_billed_nano", "engine_us"),
    *("upstream_us", "total_us", *TOOK),
)
usage_hour: Final = Table(
    "usage_hour",
    METADATA,
    _int("hour_us", primary_key=True),
    _int("key_id", primary_key=True),  # 0: a key of the file, or none
    _text("key_name", primary_key=True),
    _int("team_id", primary_key=True),  # 0: none
    _text("model", primary_key=True),
    _text("route", primary_key=True),
    _text("upstream", primary_key=True),
    _text("dialect", primary_key=True),
    _int("status_class", primary_key=True),  # 2, 4, 5
    *(_int(name, default=0) for name in HOUR_SUMS),
)
Index("ix_usage_hour_key", usage_hour.c.key_id, usage_hour.c.hour_us)
Index("ix_usage_hour_team", usage_hour.c.team_id, usage_hour.c.hour_us)

unauthorized_minute: Final = Table(
    "unauthorized_minute",
    METADATA,
    _int("minute_us", primary_key=True),
    _text("network", primary_key=True),
    _int("count", default=0),
)

# How much of a journal is in `usage`; kept when the file is gone, for `usage verify`.
journal_offset: Final = Table(
    "journal_offset",
    METADATA,
    _needed("journal", primary_key=True),
    _int("offset", default=0),
    _int("lines", default=0),
    _int("charge_nano", default=0),
    _int("removed_lines", default=0),  # by retention
    _int("removed_charge_nano", default=0),
    _int("at_us", default=0),
)

idempotency: Final = Table(
    "idempotency",
    METADATA,
    _int("admin_key_id", primary_key=True),
    _needed("idem", primary_key=True),
    _needed("method_path"),
    Column("body_sha256", LargeBinary(32), nullable=False),
    _int("status"),
    Column("response", _JSON),
    _int("at_us"),
)

# Servers that share counts: each says every few seconds that it is there.
server: Final = Table(
    "server",
    METADATA,
    _needed("id", primary_key=True),  # as its journals are called
    _int("protocol"),  # of the counts; servers of another one are refused
    _int("started_us"),
    _int("seen_us"),
)

# What is used of limits, of all servers together.
limit_used: Final = Table(
    "limit_used",
    METADATA,
    Column("holder", LargeBinary(16), primary_key=True),
    _needed("name", primary_key=True),
    Column("used", Float(53), nullable=False),
    _int("at_us"),
)

# Requests at once, by server: of one that is not there any more they do not count.
limit_inside: Final = Table(
    "limit_inside",
    METADATA,
    Column("holder", LargeBinary(16), primary_key=True),
    _needed("server", primary_key=True),
    _int("running"),
)

# What the ledger has of budgets that servers share, by budget and window.
budget_count: Final = Table(
    "budget_count",
    METADATA,
    _needed("ref", primary_key=True),
    _int("start_us", primary_key=True),
    _int("spent"),
    _int("counted_us"),  # when that was summed; since then it is added to
)

# Beside that, by server: what requests in progress hold, what those that were answered took, and
# how much of this is in the ledger. A server that is gone reserves nothing.
budget_part: Final = Table(
    "budget_part",
    METADATA,
    _needed("ref", primary_key=True),
    _int("start_us", primary_key=True),
    _needed("server", primary_key=True),
    _int("reserved"),
    _int("spent"),
    _int("drained"),
)
