"""What a job would take: the whole input is read, a sample of it is scored."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from rerankd.accounts.charge import PricedUsage, charge, searches
from rerankd.accounts.price import Terms
from rerankd.bulk.groups import groups_of
from rerankd.bulk.job import Scorer
from rerankd.bulk.rows import InputRow, Kind, WindowLimits, windows
from rerankd.core.errors import RerankError

SAMPLE_ROWS: Final = 4096
SAMPLE_CHARACTERS: Final = 32 << 20  # that are held at most
MEASURED_S: Final = 10.0
_WARM_ROWS: Final = 8
_CHARACTERS_PER_TOKEN: Final = 4.0  # where nothing is scored


@dataclass(slots=True)
class Survey:
    """An input, counted; and rows of it, each as likely as any other, in order."""

    rows: int = 0
    failed: int = 0
    pairs: int = 0
    characters: int = 0
    sample: Sequence[InputRow] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEstimate:
    """What a job takes, about."""

    tokens: int
    seconds: float | None  # None: nothing was scored
    cost_nano: int | None  # None: there is no price


def surveyed(rows: Iterable[InputRow]) -> Survey:
    """Read all rows; always the same sample of the same input."""
    found, draw = Survey(), random.Random(0)
    kept: list[tuple[int, InputRow]] = []
    held = 0
    most = SAMPLE_ROWS
    for row in rows:
        found.rows += 1
        if row.request is None:
            found.failed += 1
            continue
        found.pairs += row.pairs
        found.characters += row.characters
        place = found.rows - found.failed - 1
        if len(kept) < most:
            kept.append((place, row))
            held += row.characters
            if held > SAMPLE_CHARACTERS:
                most = len(kept)
        elif (at := draw.randrange(place + 1)) < most:
            kept[at] = (place, row)
    found.sample = [row for _, row in sorted(kept, key=lambda each: each[0])]
    return found


def estimated(
    survey: Survey, kind: Kind, terms: Terms | None, scorer: Scorer | None, limits: WindowLimits
) -> JobEstimate:
    """What all rows of a survey take.

    Args:
        survey: of the input.
        kind: of its rows.
        terms: of the price; None = there is none.
        scorer: scores the sample, for MEASURED_S about; None = nothing is to be scored.
        limits: of the job's windows.
    """
    seconds, tokens = None, survey.characters / _CHARACTERS_PER_TOKEN
    if scorer is not None and survey.sample:
        measured = _measured(survey.sample, kind, scorer, limits)
        if measured.characters:
            times = survey.characters / measured.characters
            seconds, tokens = measured.seconds * times, measured.tokens * times
    return JobEstimate(
        tokens=round(tokens), seconds=seconds, cost_nano=_cost(survey, tokens, terms)
    )


def _cost(survey: Survey, tokens: float, terms: Terms | None) -> int | None:
    if terms is None:
        return None
    rows = survey.rows - survey.failed
    each = survey.pairs / max(1, rows)
    usage = PricedUsage(input_tokens=round(tokens), searches=searches([round(each)], terms) * rows)
    return charge(terms, usage) + max(0, rows - 1) * terms.per_request


@dataclass(slots=True)
class _Measured:
    seconds: float = 0.0
    characters: int = 0
    tokens: int = 0


def _measured(
    sample: Sequence[InputRow], kind: Kind, scorer: Scorer, limits: WindowLimits
) -> _Measured:
    """Score a sample in windows as a job would, for a while."""
    scorer.begin([g.request for g in groups_of(sample[:_WARM_ROWS], kind, 1)]).result()
    found = _Measured()
    for window in windows(sample, limits):
        began = time.monotonic()
        groups = groups_of(window, kind, scorer.most_pairs)
        answers = scorer.begin([group.request for group in groups]).result()
        found.seconds += time.monotonic() - began
        found.characters += sum(row.characters for row in window)
        found.tokens += sum(
            answer.input_tokens or 0 for answer in answers if not isinstance(answer, RerankError)
        )
        if found.seconds >= MEASURED_S:
            break
    return found
