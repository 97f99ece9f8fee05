"""How far `rerankd bulk` is: a bar on a terminal, elsewhere a line each half minute."""

from __future__ import annotations

import time
from typing import Final

from rerankd.bulk.output import JobCounts
from rerankd.bulk.rows import InputPlace, Source
from rerankd.cli.terminal import Bar
from rerankd.core.money import shown

_EVERY_S: Final = 30.0
_STEPS: Final = 1000  # of the bar


class BulkProgress:
    """Told after each window."""

    def __init__(self, bar: Bar, source: Source, begun: JobCounts, currency: str) -> None:
        """Begun: what earlier runs did, which says nothing about how fast this one is."""
        self._bar, self._source, self._currency = bar, source, currency
        self._pairs, self._tokens = begun.pairs, begun.tokens
        self._since = self._said = time.monotonic()

    def step(self, counts: JobCounts, place: InputPlace) -> None:
        """Everything before a place is written."""
        now = time.monotonic()
        what = self.sentence(counts, now)
        share = self._source.share(place)
        self._bar.step(what, round((share or 0) * _STEPS), None if share is None else _STEPS)
        if now - self._said >= _EVERY_S:
            self._said = now
            self._bar.note(what if share is None else f"{share:.1%} of the input, {what}")

    def sentence(self, counts: JobCounts, now: float) -> str:
        """What is done, and how fast."""
        seconds = max(now - self._since, 1e-9)
        words = [
            f"{counts.rows} rows",
            f"{(counts.pairs - self._pairs) / seconds:.0f} pairs/s",
            f"{(counts.tokens - self._tokens) / seconds:.0f} tokens/s",
        ]
        if counts.failed:
            words.append(f"{counts.failed} failed")
        if counts.cost_nano:
            words.append(f"{shown(counts.cost_nano)} {self._currency}")
        return ", ".join(words)
