"""Counts that several servers share: of limits, and who is there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "server",
        sa.Column("id", sa.Text(), nullable=False),
        *_ints("protocol", "started_us", "seen_us"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_server")),
    )
    op.create_table(
        "limit_used",
        sa.Column("holder", sa.LargeBinary(length=16), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("used", sa.Float(53), nullable=False),
        *_ints("at_us"),
        sa.PrimaryKeyConstraint("holder", "name", name=op.f("pk_limit_used")),
    )
    op.create_table(
        "limit_inside",
        sa.Column("holder", sa.LargeBinary(length=16), nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        *_ints("running"),
        sa.PrimaryKeyConstraint("holder", "server", name=op.f("pk_limit_inside")),
    )


def _ints(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(n, sa.BigInteger(), nullable=False, autoincrement=False) for n in names]
