"""The server's end of one worker's socket: questions with numbers, and what is said of each."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any, TypeVar

from rerankd.core.portable import decode as decode_error
from rerankd.workers.frames import Frames
from rerankd.workers.messages import (
    Cancel,
    CountedTokens,
    EmbeddedTexts,
    Ended,
    Failed,
    Fetched,
    Go,
    Passed,
    Ranked,
    SpentSoFar,
    Standing,
    Taken,
    ToWorker,
    Verdicts,
    decode_to_server,
    encode,
)

A = TypeVar("A", Ranked, EmbeddedTexts, Taken, Verdicts)


class WorkerLost(Exception):
    """The worker ended before it answered."""


class WorkerSilent(Exception):
    """Nothing is heard of the worker; others are there."""


class _End(Enum):
    """What there is instead of an answer."""

    LOST = WorkerLost
    SILENT = WorkerSilent


class Remote:
    """One worker that is connected, until it is lost."""

    def __init__(
        self, most: int, told: Callable[[Standing], None], fetched: Callable[[Fetched], None]
    ) -> None:
        """Not connected yet.

        Args:
            most: bytes of the longest frame.
            told: of what the worker serves.
            fetched: of each fetch of an image or a video.
        """
        self.lost = asyncio.Event()
        self.heard = asyncio.get_running_loop().time()  # when a frame came last
        self._told = told
        self._fetched = fetched
        self._number = 0
        self._asked: dict[int, asyncio.Queue[CountedTokens | Ended | _End]] = {}
        self._passed: dict[int, Callable[[], None]] = {}
        self._movable: set[int] = set()
        self._frames = Frames(most, self._received, self._gone)

    async def connect(self, connection: socket.socket) -> None:
        """Speak over a socket, from here on."""
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: self._frames, sock=connection)

    def say(self, message: ToWorker) -> None:
        """Send something that has no answer."""
        self._frames.send(encode(message))

    async def ask(
        self,
        question: Callable[[int], ToWorker],
        answer: type[A],
        *,
        counted: Callable[[CountedTokens], Awaitable[None]] | None = None,
        passed: Callable[[], None] | None = None,
        failed: Callable[[SpentSoFar], None] | None = None,
        is_movable: bool = False,
    ) -> A:
        """Ask, and wait for the answer. Whoever is cancelled, or refuses, has the worker stop.

        Args:
            question: with the number that it is given.
            answer: of which kind it is.
            counted: pays for tokens, or refuses them by what it raises.
            passed: told when the request waits for its images.
            failed: told what a request took that has no answer.
            is_movable: whether another worker may be asked instead; see hand_over.

        Raises:
            WorkerLost: it ended first.
            WorkerSilent: it may be moved, and was handed over.
            Portable: what the worker raised; whatever `counted` raises.
        """
        if self.lost.is_set():
            raise WorkerLost
        self._number = number = self._number + 1
        said = self._asked[number] = asyncio.Queue()
        if passed is not None:
            self._passed[number] = passed
        if is_movable:
            self._movable.add(number)
        is_done = False
        try:
            self.say(question(number))
            while isinstance(message := await said.get(), CountedTokens):
                if counted is not None:
                    await counted(message)
                self.say(Go(number))
            is_done = message is not _End.SILENT
            if isinstance(message, Failed) and failed is not None and message.spent is not None:
                failed(message.spent)
            return _answer(message, answer)
        finally:
            del self._asked[number]
            self._passed.pop(number, None)
            self._movable.discard(number)
            if not is_done:
                self.say(Cancel(number))

    def hand_over(self) -> int:
        """Have others asked for all that may be moved: how many requests these are."""
        moved = len(self._movable)
        while self._movable:
            self._asked[self._movable.pop()].put_nowait(_End.SILENT)
        return moved

    def abort(self) -> None:
        """Cut the connection; the worker ends."""
        self._frames.abort()

    def _received(self, frame: bytes) -> None:
        self.heard = asyncio.get_running_loop().time()
        message: Any = decode_to_server(frame)
        match message:
            case Standing():
                self._told(message)
            case Fetched():
                self._fetched(message)
            case Passed(id):
                if (passed := self._passed.get(id)) is not None:
                    passed()
            case _:
                if (said := self._asked.get(message.id)) is not None:
                    said.put_nowait(message)

    def _gone(self) -> None:
        self.lost.set()
        for said in self._asked.values():
            said.put_nowait(_End.LOST)


def _answer(message: Ended | _End, answer: type[A]) -> A:
    """Raises WorkerLost, WorkerSilent, and what the worker raised."""
    if isinstance(message, _End):
        raise message.value
    if isinstance(message, Failed):
        raise decode_error(message.error)
    if not isinstance(message, answer):
        raise TypeError(f"{type(message).__name__} is no answer to that")
    return message
