"""The guard is tested on the event loop that the server runs on."""

from __future__ import annotations

import pytest


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """As `rerankd serve`: sockets, TLS and cancellation are uvloop's, not asyncio's."""
    return "asyncio", {"use_uvloop": True}
