"""Fixtures for all tests."""

from __future__ import annotations

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """uvicorn runs on asyncio; so do the tests."""
    return "asyncio"
