"""What a job costs by a price, and whether what comes next would go over what it may cost. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rerankd.accounts.charge import PricedUsage, charge, searches
from rerankd.accounts.price import Terms
from rerankd.bulk.groups import Answer
from rerankd.bulk.rows import InputRow
from rerankd.core.errors import RerankError, StartError
from rerankd.core.money import shown
from rerankd.core.request import RerankRequest

_TOKENS_PER_CHARACTER: Final = 1 / 3  # before anything was counted: rather too many
_CAUTION: Final = 1.25  # times what characters have cost so far


@dataclass(slots=True, kw_only=True)
class Costs:
    """What was spent, and what is under way, in nano."""

    terms: Terms | None = None  # None: nothing is paid
    most_nano: int | None = None  # None: any sum
    currency: str = ""
    spent_nano: int = 0
    _characters: int = 0  # of what was answered
    _answered_nano: int = 0  # that they cost
    _open_nano: int = 0  # guessed, of what is under way

    def begin(self, window: Sequence[InputRow]) -> int | None:
        """A window is to be asked for: about what it will cost; None = it may go over the sum."""
        guess = self.guess(window)
        if (
            self.most_nano is not None
            and self.spent_nano + self._open_nano + guess > self.most_nano
        ):
            return None
        self._open_nano += guess
        return guess

    def guess(self, window: Sequence[InputRow]) -> int:
        """About what a window will cost; rather too much."""
        if self.terms is None:
            return 0
        characters = sum(row.characters for row in window)
        if self._characters:
            return round(_CAUTION * characters * self._answered_nano / self._characters)
        usage = PricedUsage(
            input_tokens=round(characters * _TOKENS_PER_CHARACTER),
            searches=searches([row.pairs for row in window], self.terms),
        )
        more = (len(window) - 1) * max(self.terms.per_request, self.terms.minimum)
        return charge(self.terms, usage) + more

    def answered(self, request: RerankRequest, answer: Answer) -> None:
        """A request of a window was answered."""
        if self.terms is None or isinstance(answer, RerankError):
            return
        usage = PricedUsage(
            input_tokens=answer.input_tokens or 0,
            searches=searches([len(request.documents)], self.terms),
            image_tokens=answer.image_tokens,
        )
        paid = charge(self.terms, usage)
        self.spent_nano += paid
        self._answered_nano += paid

    def end(self, window: Sequence[InputRow], guess: int) -> None:
        """All of a window was answered that begin() guessed at."""
        if self.terms is None:
            return
        self._open_nano -= guess
        self._characters += sum(row.characters for row in window)

    def refusal(self) -> StartError:
        """What is said when begin() allows no more."""
        most, spent = shown(self.most_nano or 0), shown(self.spent_nano)
        return StartError(
            f"Stopped before it costs more than {most} {self.currency} (--max-cost): {spent} are "
            "spent. The same command with a larger sum goes on."
        )
