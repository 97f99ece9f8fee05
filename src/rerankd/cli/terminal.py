"""How commands print: as wide as the terminal, or wide enough for a pipe; and how far they are."""

from __future__ import annotations

import os
import sys
import unicodedata
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

_PIPE_COLUMNS = 140  # no terminal: a log file or another program; COLUMNS says otherwise
# Not for the eye, and of use to whoever wants to forge a line: control and format characters. The
# two joiners shape letters of Persian, Hindi and emoji.
_HIDDEN: Final = ("Cc", "Cf", "Cs")
_JOINERS: Final = "\u200c\u200d"


def console() -> Console:
    """A console on stdout."""
    wide = not sys.stdout.isatty() and not os.environ.get("COLUMNS", "").isdigit()
    return Console(highlight=False, width=_PIPE_COLUMNS if wide else None)


def one_line(text: str, cells: int) -> str:
    """The beginning of a text in one line, fit to be shown.

    Blanks and line ends become one space, what a terminal would obey is left out.

    Args:
        text: of any length.
        cells: how wide the screen is; the result is longer where the text is, so that whoever
            shows it sees that something was cut.
    """
    words: list[str] = []
    room = 4 * cells
    for word in text[: 64 * cells].split():
        shown = "".join(c for c in word if c in _JOINERS or unicodedata.category(c) not in _HIDDEN)
        words.append(shown[:room])
        room -= len(shown) + 1
        if room <= 0:
            break
    return " ".join(word for word in words if word)


def size(count: int) -> str:
    """Bytes for the eye."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


class Bar:
    """One progress bar on stderr while a command works; it goes when the work is done.

    Only on a terminal: elsewhere nothing is written but what is said.
    """

    def __init__(self) -> None:
        self._out = Console(stderr=True, highlight=False)
        self._shown = sys.stderr.isatty()
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[count]}", markup=False),
            TimeRemainingColumn(),
            console=self._out,
            transient=True,
            disable=not self._shown,
        )
        self._task = self._bar.add_task("", total=None, visible=False, count="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def bytes(self, what: str, done: int, of: int) -> None:
        """As step, in bytes."""
        self._show(what, done, of, f"{size(done)} of {size(of)}")

    def step(self, what: str, done: int, of: int | None) -> None:
        """What is worked at, how much of it is done; of: None = nobody knows."""
        self._show(what, done, of, "" if of is None else f"{done} of {of}")

    def _show(self, what: str, done: int, of: int | None, count: str) -> None:
        if what != self._bar.tasks[0].description:
            self._bar.reset(self._task, total=of, description=what, visible=True)
        self._bar.update(self._task, completed=done, total=of, count=count)

    def say(self, what: str) -> None:
        """A line that stays, above the bar."""
        self._out.print(what, style="dim", markup=False, soft_wrap=True)

    def note(self, what: str) -> None:
        """A line for who sees no bar."""
        if not self._shown:
            self.say(what)
