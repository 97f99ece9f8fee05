"""What systemd is told: ready, reloading, stopping, and that the server still works.

Its protocol: one datagram of NAME=value lines to the Unix socket in NOTIFY_SOCKET. Started by
anything else there is none, and nothing happens. A name that begins with @ is an abstract one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import Final

from rerankd.telemetry.logs import log_event, log_refusal

_SEND_S: Final = 0.2  # systemd reads at once; the event loop does not wait longer for it
_LEAST_PULSE_S: Final = 0.25
_STATUS_CHARS: Final = 300


class Systemd:
    """The service manager of this process, or none."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Nothing is said yet.

        Args:
            environment: NOTIFY_SOCKET, and for the watchdog WATCHDOG_USEC and WATCHDOG_PID.
        """
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self._pulse_s = _pulse_s(environment) if self._address else None
        self._is_ready = self._is_stopping = False
        self._reloads = 0
        self._has_failed = False

    @property
    def pulse_s(self) -> float | None:
        """Seconds between two signs of life; None = systemd does not watch."""
        return self._pulse_s

    def ready(self, status: str) -> None:
        """All models are loaded and the port is open."""
        self._is_ready = True
        if not self._is_stopping:
            self._say("READY=1", _status(status))

    def stopping(self, status: str) -> None:
        """The end has begun, for this reason; nothing is ready again after it."""
        self._say("STOPPING=1", _status(status))
        self._is_stopping = True

    @contextlib.contextmanager
    def reloading(self) -> Generator[None]:
        """Not ready in between; reloads that overlap are one."""
        self._reloads += 1
        if self._is_ready and self._reloads == 1 and not self._is_stopping:
            now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            self._say("RELOADING=1", f"MONOTONIC_USEC={now_us}")
        try:
            yield
        finally:
            self._reloads -= 1
            if self._is_ready and self._reloads == 0 and not self._is_stopping:
                self._say("READY=1")

    async def pulse(self, ills: Callable[[], Awaitable[str]]) -> None:
        """Give signs of life for as long as there are any; returns only when nobody watches.

        Args:
            ills: says what a restart would mend; "" = nothing. One that takes longer than a pulse
                is an ill.
        """
        before = ""
        while self._pulse_s is not None:
            try:
                async with asyncio.timeout(self._pulse_s):
                    found = await ills()
            except TimeoutError:
                found = "it cannot be told how the models are"
            if not found:
                self._say("WATCHDOG=1")
            if found and not before:
                log_refusal("no sign of life for systemd", f"{found}: it may restart the server.")
            elif before and not found:
                log_event("signs of life for systemd again")
            before = found
            await asyncio.sleep(self._pulse_s)

    def _say(self, *lines: str) -> None:
        """Send one datagram; what goes wrong is logged once."""
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(_SEND_S)
                sender.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            if not self._has_failed:
                log_refusal("systemd cannot be told", f"NOTIFY_SOCKET: {error}.")
            self._has_failed = True


def _address(written: str) -> str | None:
    """As the socket library wants it; None for what is no Unix socket."""
    if written.startswith("@"):
        return f"\0{written[1:]}"
    return written if written.startswith("/") else None


def _pulse_s(environment: Mapping[str, str]) -> float | None:
    """A third of the time after which systemd gives a process up; None = it does not watch us."""
    allowed = environment.get("WATCHDOG_USEC", "")
    watched = environment.get("WATCHDOG_PID", str(os.getpid()))
    if watched != str(os.getpid()) or not allowed.isdecimal() or int(allowed) == 0:
        return None
    return max(int(allowed) / 3e6, _LEAST_PULSE_S)


def _status(sentence: str) -> str:
    return f"STATUS={' '.join(sentence.split())[:_STATUS_CHARS]}"
