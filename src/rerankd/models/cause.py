"""Why something could not be read or loaded, and the way out, as one sentence for the operator."""

from __future__ import annotations

import asyncio
import errno
import os
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from rerankd.core.errors import StartError

_DENIED = (errno.EACCES, errno.EPERM)
_NO_MEMORY = "not enough memory. Serve fewer or smaller models, or give the process more memory"
_WAYS_OUT = {
    errno.ENOENT: "it, or what it links to, is gone. Put the whole folder back",
    errno.ENOTDIR: "a part of its path is a file. Correct the path",
    errno.ELOOP: "its links lead in a circle. Correct them",
    errno.EMFILE: "the process may open no more files. Raise `ulimit -n`",
    errno.ENFILE: "the machine has no more open files to give. Raise fs.file-max",
    errno.ENOMEM: _NO_MEMORY,
    errno.ENOSPC: "no room on the device. Free some",
}
_LAST_WORDS = 300  # characters of a library's message that are repeated


def unreadable(path: Path, error: OSError) -> StartError:
    """What the operating system said, and what to do: never that the file is damaged."""
    code = error.errno
    if code in _DENIED:
        who = f"user {os.geteuid()}" if hasattr(os, "geteuid") else "the server's user"
        return StartError(
            f"{path} cannot be read: permission denied to {who}, who runs rerankd. Let that user "
            "read it and enter its folders (chmod, chown), or run rerankd as its owner."
        )
    if code in _WAYS_OUT:
        return StartError(f"{path} cannot be read: {_WAYS_OUT[code]}.")
    return StartError(
        f"{path} cannot be read: {error.strerror or error}. The device, mount or network below it "
        "fails: see the system's log, or copy the folder to another disk."
    )


@contextmanager
def explained(what: str) -> Generator[None]:
    """Whatever goes wrong inside becomes a StartError with its cause.

    Libraries raise what they like: OSError, MemoryError, plain Exception, a Rust panic that is no
    Exception at all, SystemExit. None of them may pass as "still loading".

    Args:
        what: begins the sentence, as "Model NAME".

    Raises:
        StartError: instead of anything but a KeyboardInterrupt and a cancellation.
    """
    try:
        yield
    except (StartError, KeyboardInterrupt, asyncio.CancelledError, GeneratorExit):
        raise
    except BaseException as error:
        raise start_error(what, error) from error


def start_error(what: str, error: BaseException) -> StartError:
    """The sentence for an error that no reader of a model foresaw."""
    if isinstance(error, StartError):
        return error
    if isinstance(error, MemoryError):
        return StartError(f"{what} cannot be loaded: {_NO_MEMORY}.")
    if isinstance(error, OSError):
        path = error.filename
        if isinstance(path, (str, bytes)):
            return StartError(
                f"{what} cannot be loaded: {unreadable(Path(os.fsdecode(path)), error)}"
            )
        if error.errno in _WAYS_OUT:
            return StartError(f"{what} cannot be loaded: {_WAYS_OUT[error.errno]}.")
    said = " ".join(str(error).split())[:_LAST_WORDS]
    return StartError(
        f"{what} cannot be loaded: {type(error).__name__}{f': {said}' if said else ''}"
        f"{_place(error)}. If its files are as they were published, this is a fault of rerankd or "
        "of a library: report it with this line."
    )


def _place(error: BaseException) -> str:
    """Where it was raised, as "(file.py:12)"."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
