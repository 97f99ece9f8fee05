"""/admin/v1/overview and /requests: what this server does now, from memory."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from rerankd import __version__
from rerankd.core.facts import ModelFacts, UpstreamFacts
from rerankd.core.money import shown
from rerankd.store.times import shown_time
from rerankd.store.usage import UsageQuery, sums
from rerankd.telemetry.recent import KEPT, Ended
from rerankd.web.admin.answers import AdminAnswer
from rerankd.web.admin.asked import MOST_ID
from rerankd.web.admin.desk import Desk
from rerankd.web.admin.operation import Call, Operation

WINDOW_S: Final = 300  # of figures that are of "now"
_DAY_US: Final = 86_400_000_000
_HOUR_US: Final = 3_600_000_000


class Percentiles(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds of requests that were answered."""

    p50: float
    p95: float
    p99: float


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """Sums of a stretch of time, from the ledger; money is decimal texts."""

    start: str
    requests: int
    documents: int
    input_tokens: int
    charge: str
    cost: str


class LedgerState(msgspec.Struct, frozen=True, kw_only=True):
    """How the ledger does."""

    backlog_bytes: int  # lines that wait for the database
    away_s: float  # how long the database has been away; 0 = it is there


class OverviewPage(msgspec.Struct, frozen=True, kw_only=True):
    """How the server does."""

    at: str
    version: str
    uptime_s: float
    currency: str
    window_s: int  # of the figures below, or less: of the last 1000 requests
    requests: int
    answered: int
    refused: dict[str, int]  # by kind of error
    requests_per_s: float
    documents_per_s: float
    tokens_per_s: float
    latency_ms: Percentiles | None  # None: none was answered
    in_flight: int
    loop_lag_ms: float
    is_draining: bool
    models: list[ModelFacts]
    upstreams: list[UpstreamFacts]
    today: Spent  # of UTC
    hours: list[Spent]  # the last 24, the oldest first
    ledger: LedgerState


class LiveQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which of the last requests."""

    after: Annotated[int, Meta(ge=0, le=MOST_ID)] = 0  # `last` of the answer before
    limit: Annotated[int, Meta(ge=1, le=KEPT)] = 100


class LiveRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request that ended on this server."""

    number: int
    at: str  # when it ended
    request_id: str
    path: str
    dialect: str
    key_name: str
    model_asked: str
    model: str
    status: int
    error: str
    documents: int
    pairs: int
    input_tokens: int | None
    client: str  # its network
    route: str  # who answered a routed name
    attempts: list[str]
    media_ms: float
    prepare_ms: float
    queue_ms: float
    engine_ms: float
    upstream_ms: float
    total_ms: float


class LiveList(msgspec.Struct, frozen=True, kw_only=True):
    """Requests as they ended, the oldest first."""

    object: Literal["list"]
    data: list[LiveRequest]
    last: int  # to be asked for what comes after


async def overview(desk: Desk, _: Call) -> AdminAnswer:
    """How the server does."""
    state = desk.state
    ended = state.recent.since(WINDOW_S)
    seconds = _stretch(ended)
    answered = [each.record for each in ended if each.record.status == 200]
    now_us = desk.now_us
    hours = await desk.run(_hours, desk, now_us)
    facts = state.backend.facts()
    backlog, away_s = desk.ledger_facts()
    page = OverviewPage(
        at=_time(now_us),
        version=__version__,
        uptime_s=round(time.monotonic() - state.started, 1),
        currency=desk.currency,
        window_s=WINDOW_S,
        requests=len(ended),
        answered=len(answered),
        refused=dict(Counter(each.record.error for each in ended if each.record.error)),
        requests_per_s=_rate(len(ended), seconds),
        documents_per_s=_rate(sum(each.cost.documents for each in answered), seconds),
        tokens_per_s=_rate(sum(each.cost.input_tokens or 0 for each in answered), seconds),
        latency_ms=_percentiles([each.total_s for each in answered]),
        in_flight=state.drain.running,
        loop_lag_ms=_ms(state.lag.seconds()),
        is_draining=state.drain.draining,
        models=list(facts.models),
        upstreams=list(state.fleet.facts()),
        today=_today(now_us, hours),
        hours=_last_day(now_us, hours),
        ledger=LedgerState(backlog_bytes=backlog, away_s=round(away_s, 1)),
    )
    return AdminAnswer(content=msgspec.to_builtins(page))


async def requests(desk: Desk, call: Call) -> AdminAnswer:
    """The last requests."""
    query: LiveQuery = call.query
    recent = desk.state.recent
    found = [_live(each) for each in recent.after(query.after, query.limit)]
    answer = LiveList(object="list", data=found, last=recent.count)
    return AdminAnswer(content=msgspec.to_builtins(answer))


def _live(ended: Ended) -> LiveRequest:
    record, cost = ended.record, ended.record.cost
    return LiveRequest(
        number=ended.number,
        at=_time(int(ended.at * 1e6)),
        request_id=record.request_id,
        path=record.path,
        dialect=record.dialect,
        key_name=record.key,
        model_asked=record.asked,
        model=record.model,
        status=record.status,
        error=record.error,
        documents=cost.documents,
        pairs=cost.pairs,
        input_tokens=cost.input_tokens,
        client=record.client,
        route="" if record.route is None else record.route.label,
        attempts=list(record.attempts),
        media_ms=_ms(cost.media_s),
        prepare_ms=_ms(cost.prepare_s),
        queue_ms=_ms(cost.queue_s),
        engine_ms=_ms(cost.engine_s),
        upstream_ms=_ms(cost.upstream_s),
        total_ms=_ms(record.total_s),
    )


def _hours(desk: Desk, now_us: int) -> list[dict[str, Any]]:
    """Sums of the hours since yesterday's same one, and of today, from the hourly sums."""
    begin = min(now_us - now_us % _DAY_US, now_us - now_us % _HOUR_US - 23 * _HOUR_US)
    with desk.database.read() as connection:
        return sums(connection, UsageQuery(since_us=begin), (), width_us=_HOUR_US)


def _today(now_us: int, hours: Sequence[dict[str, Any]]) -> Spent:
    begin = now_us - now_us % _DAY_US
    return _spent(begin, [hour for hour in hours if hour["bucket_us"] >= begin])


def _last_day(now_us: int, hours: Sequence[dict[str, Any]]) -> list[Spent]:
    last = now_us - now_us % _HOUR_US
    by_hour = {hour["bucket_us"]: hour for hour in hours}
    return [
        _spent(at, [by_hour[at]] if at in by_hour else [])
        for at in range(last - 23 * _HOUR_US, last + 1, _HOUR_US)
    ]


def _spent(begin_us: int, hours: Sequence[dict[str, Any]]) -> Spent:
    def total(name: str) -> int:
        return sum(hour[name] for hour in hours)

    return Spent(
        start=_time(begin_us),
        requests=total("requests"),
        documents=total("documents"),
        input_tokens=total("input_tokens"),
        charge=shown(total("charge_nano")),
        cost=shown(total("cost_nano")),
    )


def _stretch(ended: Sequence[Ended]) -> float:
    """Seconds that requests are of: of all of the window, unless the oldest are forgotten."""
    if len(ended) < KEPT:
        return WINDOW_S
    return max(ended[-1].at - ended[0].at, 1.0)


def _rate(count: int, seconds: float) -> float:
    return round(count / seconds, 3)


def _percentiles(seconds: Sequence[float]) -> Percentiles | None:
    """By nearest rank."""
    if not seconds:
        return None
    ordered = sorted(seconds)

    def at(share: float) -> float:
        return _ms(ordered[math.ceil(share * len(ordered)) - 1])

    return Percentiles(p50=at(0.5), p95=at(0.95), p99=at(0.99))


def _time(us: int) -> str:
    return shown_time(us) or ""


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 3)


OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/overview",
        summary="How this server does: the last five minutes, queues, today's sums.",
        answer=OverviewPage,
        run_here=overview,
    ),
    Operation(
        method="GET",
        path="/requests",
        summary="The last requests of this server as they ended, without texts.",
        query=LiveQuery,
        answer=LiveList,
        run_here=requests,
    ),
)
