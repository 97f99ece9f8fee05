"""A server with a store, for each test."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.kit.administered import Administered, administered


@pytest.fixture
async def server(store_url: str, tmp_path: Path) -> AsyncGenerator[Administered]:
    async with administered(store_url, tmp_path) as found:
        yield found
