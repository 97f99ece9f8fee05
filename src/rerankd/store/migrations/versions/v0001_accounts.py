"""The first tables of the store: keys, teams, prices, budgets, usage."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_JSON = sa.JSON(none_as_null=True)


def upgrade() -> None:
    """Make them."""
    _attempt()
    _idempotency()
    _journal_offset()
    _meta()
    _price()
    _team()
    _unauthorized_minute()
    _usage()
    _usage_hour()
    _api_key()
    _budget()
    _key_digest()
    _topup()


def _ints(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(n, sa.BigInteger(), nullable=False, autoincrement=False) for n in names]


def _maybe_ints(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(n, sa.BigInteger(), nullable=True) for n in names]


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(n, sa.Text(), nullable=False) for n in names]


def _attempt() -> None:
    op.create_table(
        "attempt",
        *_texts("entry"),
        *_ints("n"),
        *_texts("target", "upstream"),
        *_ints("status"),
        *_texts("error"),
        *_ints("took_us"),
        *_maybe_ints("tokens"),
        *_ints("input_tokens", "searches"),
        *_maybe_ints("cost_id"),
        *_ints("cost_nano", "maybe_billed_nano"),
        sa.PrimaryKeyConstraint("entry", "n", name=op.f("pk_attempt")),
    )


def _idempotency() -> None:
    op.create_table(
        "idempotency",
        *_ints("admin_key_id"),
        *_texts("idem", "method_path"),
        sa.Column("body_sha256", sa.LargeBinary(32), nullable=False),
        *_ints("status"),
        sa.Column("response", _JSON, nullable=True),
        *_ints("at_us"),
        sa.PrimaryKeyConstraint("admin_key_id", "idem", name=op.f("pk_idempotency")),
    )


def _journal_offset() -> None:
    op.create_table(
        "journal_offset",
        *_texts("journal"),
        *_ints("offset", "lines", "charge_nano", "removed_lines", "removed_charge_nano", "at_us"),
        sa.PrimaryKeyConstraint("journal", name=op.f("pk_journal_offset")),
    )


def _meta() -> None:
    op.create_table(
        "meta",
        *_texts("name", "value"),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_meta")),
    )


def _price() -> None:
    op.create_table(
        "price",
        sa.Column("id", _ID, nullable=False),
        *_texts("kind", "model", "upstream"),
        *_ints("per_1m_input_nano", "per_1k_search_nano", "search_documents"),
        *_maybe_ints("per_1m_image_nano"),
        *_ints("per_request_nano", "minimum_nano"),
        *_texts("currency"),
        *_ints("starts_us", "added_us"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_price")),
        sa.UniqueConstraint(
            "kind",
            "model",
            "upstream",
            "starts_us",
            name=op.f("uq_price_kind_model_upstream_starts_us"),
        ),
        sa.CheckConstraint("kind in ('price', 'cost')", name=op.f("ck_price_kind")),
        sa.CheckConstraint("search_documents > 0", name=op.f("ck_price_search_documents")),
    )


def _team() -> None:
    op.create_table(
        "team",
        sa.Column("id", _ID, nullable=False),
        *_texts("name"),
        sa.Column("limits", _JSON, nullable=True),
        *_texts("note"),
        *_ints("version", "created_us"),
        *_maybe_ints("archived_us"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_team")),
        sa.UniqueConstraint("name", name=op.f("uq_team_name")),
    )


def _unauthorized_minute() -> None:
    op.create_table(
        "unauthorized_minute",
        *_ints("minute_us"),
        *_texts("network"),
        *_ints("count"),
        sa.PrimaryKeyConstraint("minute_us", "network", name=op.f("pk_unauthorized_minute")),
    )


def _usage() -> None:
    op.create_table(
        "usage",
        *_texts("entry", "request_id"),
        *_ints("at_us", "done_us"),
        *_maybe_ints("key_id"),
        *_texts("key_name"),
        *_maybe_ints("team_id"),
        *_texts("team", "end_user", "dialect", "path", "model_asked", "model_answered"),
        *_ints("stood_in"),
        *_texts("route", "upstream", "space", "degraded"),
        *_ints("attempts", "status"),
        *_texts("error"),
        *_ints("documents", "pairs"),
        *_maybe_ints("input_tokens"),
        *_ints("cached_tokens", "image_tokens", "searches"),
        *_texts("tokens_from"),
        *_maybe_ints("price_id"),
        *_ints("charge_nano"),
        *_maybe_ints("cost_id"),
        *_ints(
            "cost_nano",
            "maybe_billed_nano",
            "body_bytes",
            "prepare_us",
            "queue_us",
            "engine_us",
            "upstream_us",
            "total_us",
        ),
        *_texts("client_net"),
        sa.PrimaryKeyConstraint("entry", name=op.f("pk_usage")),
    )
    op.create_index(op.f("ix_usage_at"), "usage", ["at_us", "entry"])
    op.create_index(op.f("ix_usage_key"), "usage", ["key_id", "at_us", "entry"])
    op.create_index(op.f("ix_usage_request_id"), "usage", ["request_id"])
    op.create_index(op.f("ix_usage_team"), "usage", ["team_id", "at_us", "entry"])


def _usage_hour() -> None:
    op.create_table(
        "usage_hour",
        *_ints("hour_us", "key_id"),
        *_texts("key_name"),
        *_ints("team_id"),
        *_texts("model", "route", "upstream", "dialect"),
        *_ints(
            "status_class",
            "requests",
            "documents",
            "pairs",
            "input_tokens",
            "unknown_tokens",
            "cached_tokens",
            "image_tokens",
            "searches",
            "charge_nano",
            "cost_nano",
            "maybe_billed_nano",
            "engine_us",
            "upstream_us",
            "total_us",
            "took_10ms",
            "took_30ms",
            "took_100ms",
            "took_300ms",
            "took_1000ms",
            "took_3000ms",
            "took_10000ms",
            "took_longer",
        ),
        sa.PrimaryKeyConstraint(
            "hour_us",
            "key_id",
            "key_name",
            "team_id",
            "model",
            "route",
            "upstream",
            "dialect",
            "status_class",
            name=op.f("pk_usage_hour"),
        ),
    )
    op.create_index(op.f("ix_usage_hour_key"), "usage_hour", ["key_id", "hour_us"])
    op.create_index(op.f("ix_usage_hour_team"), "usage_hour", ["team_id", "hour_us"])


def _api_key() -> None:
    op.create_table(
        "api_key",
        sa.Column("id", _ID, nullable=False),
        *_texts("public_id", "name"),
        *_maybe_ints("team_id"),
        *_texts("role"),
        sa.Column("models", _JSON, nullable=True),
        *_maybe_ints("rpm", "tpm", "rpd", "tpd", "in_flight"),
        sa.Column("networks", _JSON, nullable=True),
        *_maybe_ints("expires_us"),
        *_ints("created_us"),
        *_maybe_ints("revoked_us"),
        *_texts("note"),
        sa.Column("tags", _JSON, nullable=True),
        *_ints("version", "change"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"], name=op.f("fk_api_key_team_id")),
        sa.UniqueConstraint("public_id", name=op.f("uq_api_key_public_id")),
        sa.CheckConstraint(
            "role in ('call', 'explain', 'read', 'admin')", name=op.f("ck_api_key_role")
        ),
    )
    op.create_index(op.f("ix_api_key_change"), "api_key", ["change"])
    op.create_index(op.f("ix_api_key_team_id"), "api_key", ["team_id"])
    op.create_index(
        op.f("uq_api_key_name"),
        "api_key",
        ["name"],
        unique=True,
        sqlite_where=sa.text("revoked_us is null"),
        postgresql_where=sa.text("revoked_us is null"),
    )


def _budget() -> None:
    op.create_table(
        "budget",
        sa.Column("id", _ID, nullable=False),
        *_maybe_ints("key_id", "team_id"),
        *_texts("unit"),
        *_ints("amount"),
        *_texts("window", "tz"),
        *_ints("created_us"),
        *_maybe_ints("ended_us"),
        *_ints("version"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budget")),
        sa.ForeignKeyConstraint(["key_id"], ["api_key.id"], name=op.f("fk_budget_key_id")),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"], name=op.f("fk_budget_team_id")),
        sa.CheckConstraint(
            "\"window\" in ('minute', 'hour', 'day', 'month', 'total')",
            name=op.f("ck_budget_window"),
        ),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_budget_amount")),
        sa.CheckConstraint("key_id is null or team_id is null", name=op.f("ck_budget_of")),
        sa.CheckConstraint(
            "unit in ('requests', 'tokens', 'searches', 'money')", name=op.f("ck_budget_unit")
        ),
    )
    op.create_index(op.f("ix_budget_key_id"), "budget", ["key_id"])
    op.create_index(op.f("ix_budget_team_id"), "budget", ["team_id"])


def _key_digest() -> None:
    op.create_table(
        "key_digest",
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        *_ints("key_id"),
        *_maybe_ints("until_us"),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_key_digest")),
        sa.ForeignKeyConstraint(["key_id"], ["api_key.id"], name=op.f("fk_key_digest_key_id")),
    )
    op.create_index(op.f("ix_key_digest_key_id"), "key_digest", ["key_id"])


def _topup() -> None:
    op.create_table(
        "topup",
        sa.Column("id", _ID, nullable=False),
        *_maybe_ints("key_id", "team_id"),
        *_ints("amount_nano", "at_us"),
        *_texts("by", "note"),
        sa.Column("idem", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_topup")),
        sa.ForeignKeyConstraint(["key_id"], ["api_key.id"], name=op.f("fk_topup_key_id")),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"], name=op.f("fk_topup_team_id")),
        sa.UniqueConstraint("idem", name=op.f("uq_topup_idem")),
        sa.CheckConstraint("(key_id is null) <> (team_id is null)", name=op.f("ck_topup_of")),
    )
    op.create_index(op.f("ix_topup_key_id"), "topup", ["key_id"])
    op.create_index(op.f("ix_topup_team_id"), "topup", ["team_id"])
