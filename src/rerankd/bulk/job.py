"""The loop of a job: windows of rows are asked for, and what comes back is written in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final, Protocol

from rerankd.bulk.cost import Costs
from rerankd.bulk.groups import Answer, RowAnswer, RowGroup, alone, apart, groups_of
from rerankd.bulk.lines import lines_of
from rerankd.bulk.output import JobCounts, OutputFolder
from rerankd.bulk.rows import InputRow, Source, WindowLimits, sampled, windows
from rerankd.core.errors import EngineFailed, InvalidRequest, StartError
from rerankd.core.request import RerankRequest

PART_ROWS: Final = 100_000
PART_BYTES: Final = 256 << 20
FIRST_ROWS: Final = 1000  # of which at most a hundredth may fail
_MOST_FAILED: Final = FIRST_ROWS // 100


class Scorer(Protocol):
    """Who scores."""

    @property
    def ahead(self) -> int:
        """How many windows are asked for at once."""
        ...

    @property
    def most_pairs(self) -> int:
        """Of a request that is made of pairs."""
        ...

    def begin(self, requests: Sequence[RerankRequest]) -> Future[Sequence[Answer]]:
        """Score requests: one answer for each.

        The future raises StartError where nobody answers any more.
        """
        ...

    def close(self) -> None:
        """Give up what has not begun."""
        ...


@dataclass(slots=True, kw_only=True)
class Job:
    """One run of a job, from where the folder is."""

    source: Source
    scorer: Scorer
    folder: OutputFolder
    limits: WindowLimits
    costs: Costs = field(default_factory=Costs)
    sample: float | None = None
    is_patient: bool = False  # goes on whatever fails
    stops: Callable[[], bool] = lambda: False  # asked between windows
    step: Callable[[JobCounts], None] = lambda _: None  # told after each window

    def run(self) -> bool:
        """Score all rows that are left; False: it was stopped, and can go on.

        Raises:
            StartError: too many of the first rows fail, every row of a window does, nobody
                answers any more, or it would cost more than it may.
        """
        pending: deque[_Pending] = deque()
        rows = sampled(self.source.rows(self.folder.progress.place), self.sample)
        is_over = False
        try:
            for window in windows(rows, self.limits):
                guess = self.costs.begin(window)
                is_over = guess is None
                if guess is None or self.stops():
                    break
                pending.append(self._begun(window, guess))
                if len(pending) > self.scorer.ahead:
                    self._take(pending.popleft())
            while pending and (pending[0].is_at_work or not self.stops()):
                self._take(pending.popleft())
        finally:
            for each in pending:
                each.future.cancel()
            self.folder.commit()
        if is_over:
            raise self.costs.refusal()
        return not (self.stops() and self._is_left())

    def _is_left(self) -> bool:
        """Whether rows are left that were not scored."""
        rest = sampled(self.source.rows(self.folder.progress.place), self.sample)
        return next(rest, None) is not None

    def _begun(self, window: list[InputRow], guess: int) -> _Pending:
        kind = self.source.kind
        groups = groups_of(window, kind, self.scorer.most_pairs)
        future = self.scorer.begin([group.request for group in groups])
        return _Pending(window, groups, future, guess)

    def _take(self, pending: _Pending) -> None:
        """Write what came of a window."""
        kind = self.source.kind
        window, found = pending.window, list[RowAnswer | None]([None]) * len(pending.window)
        answered = list(zip(pending.groups, pending.future.result(), strict=True))
        for group, answer in self._settled(answered):
            self.costs.answered(group.request, answer)
            for place, own in apart(group, answer, kind):
                found[place] = own
        self.costs.end(window, pending.guess)
        good, bad = lines_of(window, found, kind)
        self._check(window, found, len(bad))
        self._count(window, found, len(bad))
        self.folder.add(b"".join(good), len(good), b"".join(bad), window[-1].after)
        at = self.folder.progress
        if at.part_rows >= PART_ROWS or at.part_bytes >= PART_BYTES:
            self.folder.end_part()
        else:
            self.folder.commit_now_and_then()
        self.step(at.counts)

    def _settled(
        self, answered: list[tuple[RowGroup, Answer]]
    ) -> Iterator[tuple[RowGroup, Answer]]:
        """The same, pairs of a request that one of them spoiled each by itself."""
        for group, answer in answered:
            is_about_one = isinstance(answer, InvalidRequest | EngineFailed)
            if not is_about_one or len(group.members) == 1:
                yield group, answer
                continue
            singles = alone(group)
            again = self.scorer.begin([single.request for single in singles]).result()
            yield from zip(singles, again, strict=True)

    def _check(
        self, window: Sequence[InputRow], found: Sequence[RowAnswer | None], failed: int
    ) -> None:
        """Raises StartError: the engine scores nothing any more, or too many first rows fail."""
        broken = [each.error for each in found if each and isinstance(each.error, EngineFailed)]
        if broken and not self._still_scores(window, found):
            raise StartError(f"Nothing can be scored any more: {broken[-1].message}")
        counts = self.folder.progress.counts
        if counts.rows < FIRST_ROWS and failed:
            early = FIRST_ROWS - counts.rows
            counts.failed_early += sum(
                each is None or each.error is not None for each in found[:early]
            )
            if counts.failed_early > _MOST_FAILED and not self.is_patient:
                line, why = next(
                    (row.line, each.error.message if each and each.error else row.error)
                    for row, each in zip(window, found, strict=True)
                    if each is None or each.error
                )
                raise StartError(
                    f"More than {_MOST_FAILED} of the first {FIRST_ROWS} rows fail, such as line "
                    f"{line}: {why} --keep-going writes them to errors.jsonl and goes on."
                )

    def _still_scores(self, window: Sequence[InputRow], found: Sequence[RowAnswer | None]) -> bool:
        """Whether a row that was scored can be scored again."""
        for row, own in zip(window, found, strict=True):
            if row.request is not None and own is not None and own.error is None:
                [again] = self.scorer.begin([row.request]).result()
                return not isinstance(again, EngineFailed)
        return False

    def _count(
        self, window: Sequence[InputRow], found: Sequence[RowAnswer | None], failed: int
    ) -> None:
        counts = self.folder.progress.counts
        counts.rows += len(window)
        counts.pairs += sum(
            row.pairs for row, own in zip(window, found, strict=True) if own and not own.error
        )
        counts.tokens += sum(own.tokens or 0 for own in found if own)
        counts.failed += failed
        counts.cost_nano = self.costs.spent_nano


@dataclass(frozen=True, slots=True)
class _Pending:
    window: list[InputRow]
    groups: list[RowGroup]
    future: Future[Sequence[Answer]]
    guess: int  # nano

    @property
    def is_at_work(self) -> bool:
        return self.future.running() or self.future.done()
