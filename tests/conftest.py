"""Fixtures for all tests."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

from rerankd.store.database import Database
from tests.kit import stores

# A slow machine is no fault: no example has a time of its own; pytest's timeout ends what hangs.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")

# These need programs that are installed first: run.sh of tests/browser, cluster, deploy.
collect_ignore = ["browser", "cluster", "deploy/tools"]


@pytest.fixture
def anyio_backend() -> str:
    """uvicorn runs on asyncio; so do the tests."""
    return "asyncio"


@pytest.fixture
def store_url(tmp_path: Path) -> Generator[str]:
    """An empty store: SQLite, or PostgreSQL where one is named."""
    with stores.store_url(tmp_path) as url:
        yield url


@pytest.fixture
def database(store_url: str) -> Generator[Database]:
    """An open store with all tables."""
    with stores.migrated(store_url) as opened:
        yield opened
