"""`rerankd top`: how one or many servers do now, in a terminal."""

from __future__ import annotations

import http.client
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec
from cyclopts import Parameter
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rerankd.cli.terminal import console, one_line
from rerankd.core.errors import StartError
from rerankd.measure.fleet import MetricsReading, ServerNow, all_now, reading, server_now

_ANSWER_BYTES: Final = 16_777_216  # of /metrics
_ANSWER_S: Final = 5.0
_AT_ONCE: Final = 32  # servers that are asked at the same time
_MOST: Final = 256
_HEADS: Final = (
    *("server", "state", "req/s", "failed", "p50 ms", "p95 ms", "docs/s", "tokens/s"),
    *("in flight", "backlog s", "lag ms", "models"),
)
_WORDS: Final = {"server", "state", "models"}
_Seen = tuple[str, MetricsReading | None]  # state, what it said


def top(
    *urls: str,
    every: float = 2.0,
    once: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Show how servers do now, from their /metrics; Ctrl-C ends it.

    With --once: status 1 when a server did not answer.

    Parameters
    ----------
    urls
        Of the servers, as http://127.0.0.1:8000; none: that one. A path before /metrics is kept.
    every
        Seconds between two looks; figures are of what happened between.
    once
        Look twice, print one table and end; status 1 when a server did not answer.
    json
        With --once: one line of JSON a server instead of a table.
    """
    if not 0.1 <= every <= 3600:
        raise StartError(f"--every {every}: 0.1 to 3600 seconds.")
    if len(urls) > _MOST:
        raise StartError(f"{len(urls)} servers: {_MOST} at most.")
    if json and not once:
        raise StartError("--json: together with --once.")
    servers = [_checked(url) for url in urls or ("http://127.0.0.1:8000",)]
    looks = _looks(servers, every)
    if not once:
        _watch(looks)
        return
    now = next(looks)
    if json:
        for each in now:
            sys.stdout.write(msgspec.json.encode(each).decode() + "\n")
    else:
        console().print(shown(now))
    if any(each.state == "away" for each in now):
        sys.exit(1)


def shown(servers: Sequence[ServerNow]) -> Table:
    """A table, one line a server."""
    table = Table(box=None, pad_edge=False)
    for head in _HEADS:
        table.add_column(head, justify="left" if head in _WORDS else "right", no_wrap=True)
    for each in servers:
        failed = "–" if each.not_answered is None else f"{each.not_answered:.1%}"
        cells = (
            *(each.server, each.state, f"{each.requests_per_s:.1f}", failed),
            *(_ms(each.p50_ms), _ms(each.p95_ms), f"{each.documents_per_s:.0f}"),
            *(f"{each.tokens_per_s:.0f}", str(each.in_flight), f"{each.backlog_s:.2f}"),
            *(_ms(each.lag_p99_ms), " ".join(each.models)),
        )
        style = {"away": "red", "loading": "yellow", "draining": "yellow"}.get(each.state, "")
        table.add_row(*(Text(one_line(cell, 40), style=style) for cell in cells))
    return table


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def _watch(looks: Iterator[list[ServerNow]]) -> None:
    """Show each look in place of the one before; to a pipe, below it."""
    out = console()
    if not out.is_terminal:
        for now in looks:
            out.print(shown(now))
        return
    with Live(console=out, auto_refresh=False) as live:
        for now in looks:
            live.update(shown(now), refresh=True)


def _looks(servers: Sequence[str], every_s: float) -> Iterator[list[ServerNow]]:
    """How each does, again and again; of many, all together last."""
    with ThreadPoolExecutor(min(len(servers), _AT_ONCE)) as pool:
        before = list(pool.map(_seen, servers))
        while True:
            time.sleep(every_s)
            after = list(pool.map(_seen, servers))
            found: list[ServerNow] = []
            known: list[tuple[str, MetricsReading, MetricsReading]] = []
            for server, (_, first), (state, last) in zip(servers, before, after, strict=True):
                if last is None:
                    found.append(ServerNow(server=server, state="away"))
                    continue
                known.append((state, first or last, last))
                found.append(server_now(server, *known[-1]))
            if len(servers) > 1:
                found.append(all_now(known))
            yield found
            before = after


def _seen(server: str) -> _Seen:
    """What a server says now."""
    try:
        status, body = _get(server, "/ready")
        state = msgspec.json.decode(body, type=dict[str, object]).get("status", "")
        at = time.monotonic()
        found = reading(_get(server, "/metrics")[1].decode("utf-8", "replace"), at)
    except (OSError, http.client.HTTPException, StartError, msgspec.MsgspecError):
        return "away", None
    return str(state) if state else ("ready" if status == 200 else "loading"), found


def _get(server: str, path: str) -> tuple[int, bytes]:
    """Status and body, bounded in bytes and time. Raises OSError, HTTPException."""
    parts = urlsplit(server)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_ANSWER_S)
    try:
        connection.request("GET", parts.path.rstrip("/") + path)
        answer = connection.getresponse()
        body = answer.read(_ANSWER_BYTES + 1)
    finally:
        connection.close()
    if len(body) > _ANSWER_BYTES:
        raise OSError("too large")
    return answer.status, body


def _checked(url: str) -> str:
    """As it was written, with a scheme. Raises StartError."""
    written = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(written)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname)
        is_good = is_good and parts.username is None and (parts.port is None or parts.port > 0)
    except ValueError:
        is_good = False
    if not is_good or not written.isascii() or any(c.isspace() for c in written):
        raise StartError(f"{url}: write http://HOST:PORT, without a name and password.")
    return written
