"""Commands on a terminal of a given width."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Sequence


def on_a_terminal(
    command: Sequence[str], *, columns: int, env: dict[str, str], stderr_too: bool = False
) -> str:
    """What is written to a terminal of so many columns by a command that succeeds.

    Args:
        command: program and arguments.
        columns: of the terminal.
        env: the environment, all of it.
        stderr_too: whether errors and bars go to the terminal; else they are not seen.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    with subprocess.Popen(
        command,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs if stderr_too else subprocess.DEVNULL,
    ) as process:
        os.close(theirs)
        written = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the other side is closed
                break
            if not part:
                break
            written += part
        assert process.wait(timeout=120) == 0, written.decode()
    os.close(ours)
    return written.decode()
