"""What a replica reports to Serve's autoscaling: means over the time since the last report."""

from __future__ import annotations

import asyncio
from typing import Final

from rerankd.adapters.ray.scaling import BUSY, WAITING_S, WAITING_TOKENS
from rerankd.core.facts import BackendFacts
from rerankd.web.state import State

_EVERY_S: Final = 0.1


class LoadReport:
    """Looks at a server ten times a second."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._seen = 0
        self._busy = 0
        self._tokens = 0
        self._seconds = 0.0

    async def watch(self) -> None:
        """Until it is cancelled."""
        while True:
            self.look(self._state.backend.facts(), running=self._state.drain.running)
            await asyncio.sleep(_EVERY_S)

    def look(self, facts: BackendFacts, *, running: int) -> None:
        """Take one sample, with so many requests in progress."""
        self._seen += 1
        self._busy += running > 0
        self._tokens += sum(model.waiting_tokens for model in facts.ready)
        self._seconds += sum(model.backlog_s for model in facts.ready)

    def report(self) -> dict[str, float]:
        """The means since the last report, by the names that `scaling` reads."""
        seen = max(self._seen, 1)
        means = {
            BUSY: self._busy / seen,
            WAITING_TOKENS: self._tokens / seen,
            WAITING_S: self._seconds / seen,
        }
        self._seen = self._busy = self._tokens = 0
        self._seconds = 0.0
        return means
