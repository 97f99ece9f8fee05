"""A text cut into parts of bounded size, each of which is tokenised alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import regex

from rerankd.models.seams import Seam, Seams, Shortened

PART: Final = 32_768  # weight of what is tokenised at once: some tens of milliseconds
LONGEST_UNCUT: Final = 131_072  # weight of what cannot be cut, at most
# One of these may become 18 characters; the others count as one.
_WIDE: Final = regex.compile(r"[\u3200-\u33ff\ufdf0-\ufdfb]")
_WIDTH: Final = 18

Check = Callable[[], None]  # raises when nobody waits


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What the tokenizer is given."""

    start: int  # where `shortened` begins in the text
    end: int
    shortened: Shortened
    is_inside: bool  # its first character is the one before the seam; its tokens do not count

    def place(self, end: int) -> int:
        """Where a token that ends at `end` of this part ends in the text."""
        place = self.start + end
        for at, count in self.shortened.left_out:
            if at <= end:
                place += count
        return place

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where a token of this part stands in the text, without what was left out beside it."""
        return self.place(start), self.place(end - 1) + 1 if end > start else self.place(start)


class Uncut(Exception):
    """There is no place to cut for too long."""

    def __init__(self, start: int) -> None:
        super().__init__(start)
        self.start = start


class Cutter:
    """Cuts the texts of one tokenizer."""

    def __init__(
        self, seams: Seams | None, *, part: int = PART, longest_uncut: int = LONGEST_UNCUT
    ) -> None:
        """Where to cut; None = nowhere, so that every text is one part.

        Args:
            seams: of the tokenizer.
            part: weight of a part.
            longest_uncut: weight of a part if there is nowhere to cut before.
        """
        self._seams = seams
        self.part, self.longest_uncut = part, longest_uncut

    @property
    def can_cut(self) -> bool:
        """Whether there is any place to cut."""
        return self._seams is not None

    def parts(self, text: str, check: Check) -> Iterator[Part]:
        """A text's parts, in order; at least one.

        Raises:
            Uncut: a part would be too long.
            Whatever `check` raises, which is called between steps.
        """
        start, is_inside = 0, False
        while True:
            seam, shortened = self._next(text, start - is_inside, check)
            end = len(text) if seam is None else seam.at
            yield Part(start - is_inside, end, shortened, is_inside)
            if seam is None:
                return
            check()
            start, is_inside = end, seam.is_inside

    def _next(self, text: str, start: int, check: Check) -> tuple[Seam | None, Shortened]:
        """The part that begins at `start`: the seam behind it, None at the end, and its text."""
        held, at, held_weight = Shortened(""), start, 0
        while True:
            stop = min(at + self._step(text, at), len(text))
            is_end = stop == len(text)
            seam = None
            if self._seams is not None and not is_end:
                seam = self._seams.last(text, at + 1, stop)
            more = Shortened(text[at : stop if seam is None else seam.at])
            if self._seams is not None and (held.text or not (seam or is_end)):
                more = self._seams.shortened(more.text)
            held_weight += self._weight(more.text, self.longest_uncut)
            if held_weight > self.longest_uncut:
                raise Uncut(start)
            held = held.with_behind(more)
            if seam is not None or is_end:
                return seam, held
            at = stop
            check()

    def _step(self, text: str, at: int) -> int:
        is_wide = self._weight(text[at : at + self.part], 2 * self.part) > 2 * self.part
        return max(1, self.part // (_WIDTH if is_wide else 1))

    def _weight(self, text: str, limit: int) -> int:
        expands = self._seams is None or self._seams.expands
        return weight(text, limit) if expands else len(text)


def in_slices(
    texts: Sequence[str], limit: int = 2 * PART, *, each: int = 0
) -> Iterator[Sequence[str]]:
    """Texts in runs of bounded weight, `each` more a text, in order; a longer text goes alone."""
    start, total = 0, 0
    for end, text in enumerate(texts):
        more = weight(text, limit) + each
        if end > start and total + more > limit:
            yield texts[start:end]
            start, total = end, 0
        total += more
    yield texts[start:]


def weight(text: str, limit: int) -> int:
    """About how many characters a text has when it is normalised; not exact above `limit`."""
    if len(text) > limit or text.isascii():
        return len(text)
    return len(text) + (_WIDTH - 1) * len(_WIDE.findall(text))
