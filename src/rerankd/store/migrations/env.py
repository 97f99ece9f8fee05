"""What alembic runs: the migrations that are missing, in the transaction of `store.migrate`."""

from __future__ import annotations

from alembic import context

if __name__ == "env_py":  # as alembic calls it; whoever else imports it runs nothing
    context.configure(connection=context.config.attributes["connection"])
    context.run_migrations()
