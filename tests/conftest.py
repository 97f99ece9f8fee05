"""Fixtures for all tests."""

from __future__ import annotations

import pytest
from hypothesis import settings

# A slow machine is no fault: no example has a time of its own; pytest's timeout ends what hangs.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")


@pytest.fixture
def anyio_backend() -> str:
    """uvicorn runs on asyncio; so do the tests."""
    return "asyncio"
