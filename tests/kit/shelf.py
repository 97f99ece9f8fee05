"""Models that are opened when a test lets them, or not at all."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from rerankd.core.errors import StartError
from rerankd.models.load import Loaded, Spec
from tests.kit.support import BytesModel

PATIENCE_S = 60.0


class Shelf:
    """Where models are opened: each can be held up, or be broken."""

    def __init__(self) -> None:
        self.opened: list[BytesModel] = []
        self.begun: list[str] = []
        self.broken: set[str] = set()
        self.held: dict[str, threading.Event] = {}

    def load(self, spec: Spec) -> Loaded:
        """On a thread, as the real one."""
        self.begun.append(spec.name)
        if (gate := self.held.get(spec.name)) is not None:
            assert gate.wait(PATIENCE_S)
        if spec.name in self.broken:
            raise StartError(f"{spec.name} is damaged")
        model = BytesModel(spec.name)
        self.opened.append(model)
        return Loaded(model=model, warnings=())

    def hold(self, name: str) -> threading.Event:
        """The next loads of a model wait until this is set."""
        self.held[name] = threading.Event()
        return self.held[name]


async def until(holds: Callable[[], object]) -> None:
    """Wait for it."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await asyncio.sleep(0.002)
