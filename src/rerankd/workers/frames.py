"""Frames on a local socket: four bytes that say how long it is, then the frame."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

from rerankd.telemetry.logs import log_failed_task

_HEAD: Final = 4
_MORE_BYTES: Final = 1 << 20  # of a frame, beside the texts that it carries


def most_bytes(*texts: int) -> int:
    """The longest frame, where it carries at most so many bytes of texts or of an answer."""
    return max(texts) + _MORE_BYTES


class Frames(asyncio.Protocol):
    """One end of the socket.

    A frame that is longer than was agreed ends the connection before a byte of it is kept.
    """

    def __init__(
        self, most: int, received: Callable[[bytes], None], lost: Callable[[], None]
    ) -> None:
        """Not connected yet.

        Args:
            most: bytes of the longest frame.
            received: told of each frame; what it raises ends the connection.
            lost: told once, when the other end is gone.
        """
        self._most = most
        self._received = received
        self._lost = lost
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Frames may be sent."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The other end is gone."""
        self._transport = None
        self._lost()

    def data_received(self, data: bytes) -> None:
        """Hand over what is complete."""
        buffer = self._buffer
        buffer += data
        start = 0
        try:
            while len(buffer) - start >= _HEAD:
                size = int.from_bytes(buffer[start : start + _HEAD])
                if size > self._most:
                    raise ValueError(f"a frame of {size} bytes; at most {self._most} were agreed")  # noqa: TRY301
                if len(buffer) - start - _HEAD < size:
                    break
                self._received(bytes(buffer[start + _HEAD : start + _HEAD + size]))
                start += _HEAD + size
        except Exception as error:  # noqa: BLE001 - whatever it was, what follows means nothing
            log_failed_task("a worker's socket", error)
            self.abort()
        finally:
            del buffer[:start]

    def allow(self, most: int) -> None:
        """From here on frames may be so long."""
        self._most = most

    @property
    def is_open(self) -> bool:
        """Whether frames can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, frame: bytes) -> None:
        """Send one frame; nothing happens when the other end is gone.

        Raises:
            ValueError: it is longer than was agreed.
        """
        if len(frame) > self._most:
            raise ValueError(f"a frame of {len(frame)} bytes; at most {self._most} were agreed")
        if self._transport is not None and self.is_open:
            self._transport.writelines([len(frame).to_bytes(_HEAD), frame])

    def abort(self) -> None:
        """End the connection now."""
        if self._transport is not None:
            self._transport.abort()
