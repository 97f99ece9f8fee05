"""Counts of budgets that several servers share."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "budget_count",
        sa.Column("ref", sa.Text(), nullable=False),
        *_ints("start_us", "spent", "counted_us"),
        sa.PrimaryKeyConstraint("ref", "start_us", name=op.f("pk_budget_count")),
    )
    op.create_table(
        "budget_part",
        sa.Column("ref", sa.Text(), nullable=False),
        *_ints("start_us"),
        sa.Column("server", sa.Text(), nullable=False),
        *_ints("reserved", "spent", "drained"),
        sa.PrimaryKeyConstraint("ref", "start_us", "server", name=op.f("pk_budget_part")),
    )


def _ints(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(n, sa.BigInteger(), nullable=False, autoincrement=False) for n in names]
