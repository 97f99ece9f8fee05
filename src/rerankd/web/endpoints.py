"""The one handler of rankings and embeddings: it serves every dialect and asks none which it is."""

from __future__ import annotations

import contextlib
import dataclasses
import time
import traceback

from starlette.types import Message, Receive, Scope, Send

from rerankd.access.keys import Key
from rerankd.access.rates import InFlight
from rerankd.core.errors import EngineFailed, Overloaded, RerankError
from rerankd.dialects.base import ParsedBody, ParsedTexts
from rerankd.dialects.json_mend import LoneSurrogate, mended
from rerankd.dialects.json_size import count_values
from rerankd.dialects.registry import Route
from rerankd.dialects.wire import Envelope, WireAnswer, WireRequest
from rerankd.gateway.targets import Wish
from rerankd.service.base import Trace
from rerankd.telemetry.logs import log_failure, log_request
from rerankd.telemetry.record import RequestRecord
from rerankd.web.body import ClientGone, check_headers, content_length, read_body
from rerankd.web.caller import admitted
from rerankd.web.client import LOGGED_CHARACTERS, network_of
from rerankd.web.route_headers import asked_space, route_headers
from rerankd.web.state import State
from rerankd.web.until import run_until
from rerankd.web.wire_answers import (
    check_answer,
    echoed_bytes,
    envelope_of,
    headers_of,
    response_of,
    told,
    with_headers,
)

_CLIENT_GONE = 499  # in logs and metrics only; nobody is there to read it
_REPORTED_BYTES = 65_536  # of an answer: of a larger one it is reported before it is sent
_VECTOR_BYTES = 8  # of memory, of one number: as the engine gave it and as it is rendered
_BYTES_PER_VALUE = 64  # of memory, that a key or value of JSON takes as an object, about


class DialectEndpoint:
    """ASGI endpoint of one path: bytes, request, answer, bytes, in whichever dialect is meant."""

    def __init__(self, route: Route, state: State) -> None:
        self._route = route
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; every way out leaves exactly one record."""
        call = _Call(self._route, self._state, scope)
        try:
            with self._state.drain:  # until the answer is with the transport, not only known
                answer = await call.answer(receive)
                if answer is not None:
                    answer = call.with_limits(answer)
                    call.hold_only(answer)
                    sent = call.reporting(answer, send)
                    await response_of(answer)(scope, receive, sent)  # till the client took it
        except Overloaded as error:  # the drain's refusal
            await response_of(call.refused(error))(scope, receive, send)
        finally:
            call.release()
            call.report()


class _Call:
    """One request on its way through its steps."""

    def __init__(self, route: Route, state: State, scope: Scope) -> None:
        self._route = route
        self._state = state
        self._scope = scope
        self._headers = headers_of(scope)
        self._envelope = envelope_of(scope)
        self._dialect = route.by_headers(self._headers)  # until the body says more
        self._trace = Trace()
        self._key: Key | None = None
        self._raw = b""  # the body, until it is parsed
        self._warnings: tuple[str, ...] = ()
        self._body_bytes = 0
        self._held_bytes = 0  # in `inflight`: the body, what it becomes in memory, the answer
        self._end: tuple[int, str, float] | None = None  # status, error, seconds; not reported yet
        self._place: InFlight | None = None  # among the key's requests that are answered
        self._started = time.perf_counter()
        spans = state.spans
        self._context = None if spans is None else spans.begin(self._headers)

    async def answer(self, receive: Receive) -> WireAnswer | None:
        """The finished answer; None when the client is gone."""
        try:
            try:
                answer = await self._admit(receive)
            finally:
                self._trace.passed()
        except ClientGone:
            with contextlib.suppress(Overloaded):  # nobody is there to be refused
                await self._keep(_CLIENT_GONE, "client_gone")
            self._record(_CLIENT_GONE, "client_gone")
            return None
        except RerankError as error:
            return await self._failed(error, error)
        except Exception as error:  # noqa: BLE001 - the last line before the caller: never internals
            failed = EngineFailed("Internal error.")
            failed.__cause__ = error
            return await self._failed(failed, error)
        try:
            await self._keep(200, "")
        except Overloaded as error:
            return self.refused(error)
        self._record(200, "")
        return answer

    async def _failed(self, error: RerankError, cause: Exception) -> WireAnswer:
        """The error as the dialect shows it, once the ledger has it."""
        try:
            await self._keep(error.status, error.kind)
        except Overloaded as full:
            error = full
        answer = self.refused(error)
        forget_frames(cause)
        return answer

    async def _admit(self, receive: Receive) -> WireAnswer:
        """Headers, key, rate and body; then the rest, for as long as somebody waits."""
        state = self._state
        any_type, limit = self._dialect.any_content_type, state.limits.body_bytes
        check_headers(self._headers, limit_bytes=limit, any_type=any_type)
        presented = self._dialect.presented_key(self._headers)
        self._key = key = admitted(state, presented, self._scope)
        self._trace.at_us = time.time_ns() // 1000
        key.check_role("call")
        state.front.check(key.name, content_length(self._headers))
        self._place = state.rates.in_flight(key)
        await self._place.enter()
        reading = read_body(
            receive,
            self._headers,
            limit_bytes=limit,
            limit_s=state.limits.body_s,
            inflight=state.inflight,
        )
        self._raw = await run_until(reading, state.drain)
        self._body_bytes = self._held_bytes = len(self._raw)
        deadline_s = state.limits.deadline_s
        return await run_until(
            self._work(key),
            state.drain,
            receive=receive,
            limit_s=deadline_s,
            is_final=lambda: self._trace.own_s > deadline_s / 2,
        )

    async def _work(self, key: Key) -> WireAnswer:
        """What comes after the body: parse, rank or embed, render."""
        self._trace.until = time.monotonic() + self._state.limits.deadline_s
        self._trace.passed = await self._state.front.turn(key.name, self._body_bytes)
        parsed = await self._read_requests()
        self._raw = b""  # the documents are in the requests now
        if isinstance(parsed, ParsedTexts):
            return await self._embed(parsed, key)
        return await self._rank(parsed, key)

    async def _rank(self, parsed: ParsedBody, key: Key) -> WireAnswer:
        self._take(echoed_bytes(parsed.requests, self._body_bytes))
        rankings = await self._state.router.rerank(
            parsed.requests,
            key,
            self._trace,
            parsed.places,
            wish=Wish(space=asked_space(self._headers), assumed=parsed.assumed),
        )
        if self._warnings:  # of how the body was read
            first, *others = rankings
            said = self._warnings + first.warnings
            rankings = [dataclasses.replace(first, warnings=said), *others]
        run = self._state.threads.run
        answer = await run(self._body_bytes, parsed.render, rankings, self._timed_envelope())
        warnings = tuple(dict.fromkeys(w for ranking in rankings for w in ranking.warnings))
        return with_headers(answer, {**route_headers(rankings[0].route), **told(warnings)})

    async def _embed(self, parsed: ParsedTexts, key: Key) -> WireAnswer:
        size = self._body_bytes

        def room(numbers: int) -> None:
            nonlocal size
            size = numbers * parsed.number_bytes + (self._body_bytes if parsed.echoes else 0)
            check_answer(size, self._state.limits.inflight_bytes, parsed.request.field)
            self._take(size + numbers * _VECTOR_BYTES)

        embedded = await self._state.router.embed(parsed.request, key, self._trace, room)
        if self._warnings:
            said = self._warnings + embedded.warnings
            embedded = dataclasses.replace(embedded, warnings=said)
        run = self._state.threads.run
        answer = await run(size, parsed.render, embedded, self._timed_envelope())
        return with_headers(answer, told(embedded.warnings))

    def _take(self, size: int) -> None:
        """Room for what the answer will hold. Raises Overloaded."""
        self._state.inflight.take(size, own=self._held_bytes)
        self._held_bytes += size

    async def _read_requests(self) -> ParsedBody | ParsedTexts:
        """The body as requests: what it holds is counted before any of it becomes objects."""
        run, size = self._state.threads.run, self._body_bytes
        values = await run(size, count_values, self._raw, self._state.limits.json_values)
        more = max(values * _BYTES_PER_VALUE - size, 0)
        self._take(more)
        return await run(size, self._parse)

    def _parse(self) -> ParsedBody | ParsedTexts:
        raw = self._raw
        self._dialect = self._route.by_body(self._headers, raw)
        wire = WireRequest(
            path=self._scope["path"],
            body=raw,
            headers=self._headers,
            params=self._scope["path_params"],
        )
        try:
            return self._dialect.parse_body(wire, self._state.options)
        except LoneSurrogate:
            raw, warning = mended(raw)
        self._warnings = (warning,)
        self._dialect = self._route.by_body(self._headers, raw)
        return self._dialect.parse_body(dataclasses.replace(wire, body=raw), self._state.options)

    def _timed_envelope(self) -> Envelope:
        """The envelope of an answer: with what is known only now."""
        return dataclasses.replace(
            self._envelope,
            engine=self._trace.engine,
            cost=self._trace.cost,
            total_s=time.perf_counter() - self._started,
        )

    def with_limits(self, answer: WireAnswer) -> WireAnswer:
        """With what is left of the key's limits, whatever the answer is."""
        left = self._state.rates.headers(self._key) if self._key is not None else {}
        return dataclasses.replace(answer, headers={**answer.headers, **left}) if left else answer

    def hold_only(self, answer: WireAnswer) -> None:
        """The request is done: from here on, its answer is what fills memory."""
        self._raw = b""
        self._state.inflight.hold(len(answer.body) - self._held_bytes)
        self._held_bytes = len(answer.body)

    def release(self) -> None:
        """Give back room and place, once the answer is with the client or nobody waits for it."""
        self._state.inflight.give_back(self._held_bytes)
        if self._place is not None:
            self._place.leave()

    def refused(self, error: RerankError) -> WireAnswer:
        """The error as the dialect shows it, recorded."""
        if error.status == 500:
            log_failure(self._envelope.request_id, error.__cause__ or error)
            error = EngineFailed(
                f"Internal error. Give the operator this request id: {self._envelope.request_id}"
            )
        self._record(error.status, error.kind)
        return self._dialect.render_error(error, self._envelope, self._state.options)

    async def _keep(self, status: int, error: str) -> None:
        """Have the ledger keep what became of the request, if a key was found good for it.

        Raises:
            Overloaded: it cannot, and the request is not to be answered then.
        """
        accounts, trace = self._state.accounts, self._trace
        if accounts is not None and self._key is not None:
            told = self._told(status, error, time.perf_counter() - self._started)
            await accounts.record(told, self._key, trace.at_us, trace.account)

    def _record(self, status: int, error: str) -> None:
        """It has ended so, now."""
        self._end = (status, error, time.perf_counter() - self._started)

    def reporting(self, answer: WireAnswer, send: Send) -> Send:
        """Sends, and reports as soon as the answer is with the transport: nobody waits for that."""
        if len(answer.body) > _REPORTED_BYTES:
            self.report()

        async def sent(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.body":
                self.report()

        return sent

    def report(self) -> None:
        """The one record of how it ended."""
        if self._end is None:
            return
        record, self._end = self._told(*self._end), None
        self._state.metrics.observe(record)
        self._state.recent.add(record)
        if self._context is not None and self._state.spans is not None:
            self._state.spans.end(self._context, record)
        log_request(record)

    def _told(self, status: int, error: str, seconds: float) -> RequestRecord:
        """What is known of the request, which took so long."""
        trace = self._trace
        return RequestRecord(
            request_id=self._envelope.request_id,
            path=self._scope["path"][:LOGGED_CHARACTERS],
            client=network_of(self._scope, self._state.trusted),
            agent=self._headers.get("user-agent", "")[:LOGGED_CHARACTERS],
            dialect=self._dialect.name,
            key=self._key.name if self._key else "",
            asked=trace.asked[:LOGGED_CHARACTERS],
            model=trace.model,
            stood_in=trace.stood_in,
            status=status,
            error=error,
            body_bytes=self._body_bytes,
            cost=trace.cost,
            total_s=seconds,
            route=trace.route,
            attempts=trace.attempts,
        )


def forget_frames(error: BaseException) -> None:
    """Free what the functions that an error went through still hold: bodies, documents, rows.

    Tasks and exception groups refer to errors, which refer to their frames and these to the
    tasks: without this, all of it stays until the garbage collector comes by.
    """
    known: set[int] = set()
    unvisited: list[BaseException | None] = [error]
    while unvisited:
        found = unvisited.pop()
        if found is None or id(found) in known:
            continue
        known.add(id(found))
        traceback.clear_frames(found.__traceback__)
        unvisited += [found.__cause__, found.__context__]
        if isinstance(found, BaseExceptionGroup):
            unvisited += found.exceptions  # pyright: ignore[reportUnknownMemberType] - any error
