"""What a connection sends: watched for readers that stop, and started early to see who is there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_STATUS_LINE = b"HTTP/1.1 "  # how every answer of ours begins
_CHECKS = 4  # looks at a reader's progress per limit
# Seconds before each further byte of the status line: all of them outlast a usual deadline.
_PROBES_S = (0.0, 0.05, 0.2, 1.0, 4.0, 15.0, 60.0, 240.0)


class AnswerTransport:
    """A transport as the HTTP protocol uses it, for one connection.

    A reader that takes no byte within `limit_s`, while there are some for it, is cut off.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        *,
        limit_s: float,
        close: Callable[[], None],
        stuck: Callable[[], None],
    ) -> None:
        """Watch a connection.

        Args:
            transport: the true one.
            loop: the loop it belongs to.
            limit_s: how long a reader may take nothing.
            close: what to do instead when the protocol wants to close.
            stuck: told when a reader is cut.
        """
        self.raw = transport
        self.ending = False  # nothing more will be sent
        self._loop = loop
        self._limit_s = limit_s
        self._close = close
        self._stuck = stuck
        self._head: bytes | None = None  # held back for the body's first piece; None = nothing is
        self._ahead = 0  # bytes of the next answer's status line that are sent
        self._written = self._taken = 0
        self._moved = 0.0  # when the reader last took something, in the loop's time
        self._watch: asyncio.TimerHandle | None = None
        self._probing: asyncio.TimerHandle | None = None

    def hold(self) -> None:
        """Keep what is written next until `let_go`: a head goes out with the body's first piece."""
        if self._head is None:
            self._head = b""

    def let_go(self) -> None:
        """Send what is held."""
        data, self._head = self._head, None
        if data:
            self.write(data)

    def write(self, data: bytes) -> None:
        """Send, less what a probe has sent of it."""
        if self._head is not None:
            self._head += data
            return
        self.stop_probing()
        if self._ahead:
            data, self._ahead = data[self._ahead :], 0
        self._send(data)

    def write_eof(self) -> None:
        """End the sending side, once all is sent."""
        self.let_go()
        self.ending = True
        self.raw.write_eof()

    def close(self) -> None:
        """What the protocol does to end a connection."""
        self.let_go()
        self._close()

    def is_closing(self) -> bool:
        """Whether nothing can be sent any more."""
        return self.ending or self.raw.is_closing()

    def probe(self) -> None:
        """Find out whether a peer that ended its sending side still reads.

        Both a peer that waits for its answer and one that is gone look the same until something
        is sent: then the latter's side resets the connection, which the next write finds. So the
        status line is sent byte by byte, which the former cannot tell from a slow network.
        """
        if self._probing is None and not self._ahead:
            self._next_probe()

    def stop_probing(self) -> None:
        """The answer comes, or nobody is there."""
        if self._probing is not None:
            self._probing.cancel()
            self._probing = None

    def lost(self) -> None:
        """The connection is gone."""
        self.stop_probing()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _send(self, data: bytes) -> None:
        if self.is_closing():
            return
        self._written += len(data)
        self.raw.write(data)
        waiting = self.raw.get_write_buffer_size()
        if self._watch is None and waiting:
            self._taken, self._moved = self._written - waiting, self._loop.time()
            self._look_later()

    def _look_later(self) -> None:
        self._watch = self._loop.call_later(self._limit_s / _CHECKS, self._look)

    def _look(self) -> None:
        self._watch = None
        waiting = self.raw.get_write_buffer_size()
        taken = self._written - waiting
        if not waiting:
            return
        if taken > self._taken:
            self._taken, self._moved = taken, self._loop.time()
        elif self._loop.time() - self._moved >= self._limit_s:
            self._stuck()
            self.raw.abort()
            return
        self._look_later()

    def _next_probe(self) -> None:
        self._probing = None
        if self._ahead < len(_PROBES_S):
            wait_s = _PROBES_S[self._ahead]
            self._probing = self._loop.call_later(wait_s, self._send_probe)

    def _send_probe(self) -> None:
        if not self.is_closing():
            self._send(_STATUS_LINE[self._ahead : self._ahead + 1])
            self._ahead += 1
            self._next_probe()
        else:
            self._probing = None
