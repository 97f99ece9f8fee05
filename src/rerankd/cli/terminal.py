"""Where commands print: as wide as the terminal, or wide enough for a pipe."""

from __future__ import annotations

import sys

from rich.console import Console

_PIPE_COLUMNS = 140  # no terminal: a log file or another program


def console() -> Console:
    """A console on stdout."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_COLUMNS)
