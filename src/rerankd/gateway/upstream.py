"""One upstream: asked through its dialect, within its bounds, for as long as it answers well."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from rerankd.access.meters import Bucket
from rerankd.core.answer import Ranking
from rerankd.core.errors import InvalidRequest, RerankError
from rerankd.core.facts import UpstreamFacts
from rerankd.core.request import RerankRequest
from rerankd.dialects.base import Outgoing
from rerankd.dialects.wire import WireAnswer
from rerankd.gateway import losses
from rerankd.gateway.breaker import Breaker, KeyTurns
from rerankd.gateway.checked import of_logits, wrong
from rerankd.gateway.failover import MOST_REST_S, RULES, AttemptFailed, Outcome
from rerankd.gateway.latency import Latencies
from rerankd.gateway.outcomes import ranking_of
from rerankd.gateway.pause import Pause
from rerankd.gateway.plan import UpstreamPlan
from rerankd.gateway.transport import Sent, Transport
from rerankd.telemetry.logs import log_refusal
from rerankd.telemetry.trace_context import sent_headers

_LARGE_BYTES: Final = 131_072  # of texts; more are encoded and read on a thread
_TIMES_USUAL: Final = 4  # what nine of ten answers take: a caller who leaves later had cause
_SHORT_S: Final = 1.0  # and had none before
_UNKNOWN_S: Final = 5.0  # the same where nothing was answered yet
_BYTES_PER_TOKEN: Final = 3  # for a count before anybody counted: rather too many tokens

# Told how an attempt ended: upstream, outcome, seconds.
Observe = Callable[[str, Outcome, float], None]


def estimated_tokens(request: RerankRequest) -> int:
    """Tokens of all pairs, before anybody counted them: rather too many than too few."""
    query = len(request.query.value.encode())
    texts = sum(len(content.value.encode()) for content in request.documents)
    return math.ceil((query * len(request.documents) + texts) / _BYTES_PER_TOKEN)


class Upstream:
    """Calls one upstream; knows how it does."""

    def __init__(
        self,
        plan: UpstreamPlan,
        transport: Transport,
        observe: Observe,
        *,
        clock: Callable[[], float] = time.monotonic,
        user_agent: str = "rerankd",
    ) -> None:
        self.plan = plan
        self.transport = transport
        self._observe = observe
        self._clock = clock
        self._agent = user_agent
        self.breaker = Breaker()
        self.keys = KeyTurns(plan.keys)
        self._rests_until = 0.0
        self._unknown: dict[str, Pause] = {}  # by names of models that it does not have
        self._answered = Latencies()  # by name of the model
        self._in_flight = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_leaving = False
        limits = plan.settings
        self._rpm = None if limits.rpm is None else Bucket(limits.rpm, clock=clock)
        self._tpm = None if limits.tpm is None else Bucket(limits.tpm, clock=clock)

    def facts(self) -> UpstreamFacts:
        """How it does, now."""
        now = self._clock()
        good, resting, out = self.keys.counts(now)
        return UpstreamFacts(
            name=self.plan.name,
            dialect=self.plan.dialect.name,
            state="off" if good + resting == 0 else self.breaker.state(now),
            wait_s=max(self.breaker.wait_s(now), self._rests_until - now, 0.0),
            in_flight=self._in_flight,
            keys=good,
            keys_resting=resting,
            keys_refused=out,
            unknown_models=tuple(sorted(self._unknown)),
        )

    def lost(self, request: RerankRequest, name: str) -> frozenset[str]:
        """The fields of a request that it cannot be told and that would change a score.

        Scores that come as logits are made into what the caller wants here.
        """
        lost = set(self.plan.dialect.lost(losses.outgoing(request, name)))
        if self.gives_logits and not request.raw_scores:
            lost.discard("raw_scores")
        return losses.changing(request, lost, self.plan.dialect.implies)

    @property
    def gives_logits(self) -> bool:
        """Whether its scores are logits and nobody can change that."""
        dialect = self.plan.dialect
        return "raw_scores" not in dialect.carries and bool(dialect.implies.get("raw_scores"))

    def request_for(self, request: RerankRequest, name: str) -> RerankRequest:
        """What it is asked."""
        # NVIDIA's own service and its containers have two paths, told apart by this field.
        hosted = self.plan.origin.host.endswith(".nvidia.com")
        wants_all = self.plan.dialect.name != "nvidia" or hosted
        return losses.outgoing(request, name, says_top=wants_all)

    def check_can_read(self, request: RerankRequest, name: str) -> None:
        """Whether it reads such contents at all; cheap for texts.

        Raises:
            AttemptFailed: "over_limit".
        """
        if all(content.modality == "text" for _, content in request.contents()):
            return
        self._encoded(self.request_for(request, name), None)

    def refusal(self, name: str) -> AttemptFailed | None:
        """Why it cannot be asked now; None = it can."""
        now = self._clock()
        key_wait_s = self.keys.wait_s(now)
        pause = self._unknown.get(name)
        if key_wait_s is None or (pause is not None and not pause.may(now)):
            return AttemptFailed("resting")
        wait_s = max(self.breaker.wait_s(now), self._rests_until - now, key_wait_s)
        return AttemptFailed("resting", retry_after_s=wait_s) if wait_s > 0 else None

    @property
    def has_room(self) -> bool:
        """Whether a request would not wait for others."""
        return self._in_flight < self.plan.settings.in_flight and not self._waiting

    def forgive(self) -> None:
        """Forget which keys and models it refused: the settings were read again."""
        self.keys = KeyTurns(self.plan.keys)
        self._unknown.clear()

    async def ask(
        self, request: RerankRequest, name: str, *, timeout_s: float, wait_s: float = 0.0
    ) -> Ranking:
        """All scores of a request, checked.

        Args:
            request: the caller's.
            name: of the model, there.
            timeout_s: how long the answer may take; at most its own timeout_s.
            wait_s: how long to wait for other requests to it.

        Raises:
            AttemptFailed: it did not answer, or is not asked.
        """
        await self._enter(wait_s)
        try:
            self._take_rates(request)
            return await self._attempt(request, name, timeout_s)
        finally:
            self._leave()

    async def _attempt(self, request: RerankRequest, name: str, timeout_s: float) -> Ranking:
        """One request, with one key, of which breaker and metrics learn the end."""
        if (refusal := self.refusal(name)) is not None:
            raise refusal
        now = self._clock()
        place = self.keys.take(now)
        if place is None or not self.breaker.enter(now):
            raise AttemptFailed("resting", retry_after_s=self.breaker.wait_s(now))
        if (pause := self._unknown.get(name)) is not None:
            pause.enter()
        outcome: Outcome | None = None
        try:
            ranking = await self._exchange(request, name, self.keys.key(place), timeout_s)
            outcome = "ok"
        except AttemptFailed as failed:
            outcome = failed.outcome
            self._learn(failed, place, name)
            raise
        finally:
            after = self._clock()
            self._end(outcome, name, place, began=now, ended=after)
        return ranking

    def _end(
        self, outcome: Outcome | None, name: str, place: int, *, began: float, ended: float
    ) -> None:
        """Tell breaker, key, name and metrics; None = nobody waits for an answer any more."""
        took_s = ended - began
        if outcome is None and took_s > self._patience_s(name):
            outcome = "given_up"
        if outcome == "ok":
            self._answered.end(name, took_s)
            self.keys.accepted(place)
            self._unknown.pop(name, None)
        elif outcome != "refused":
            self.keys.left(place)
        if outcome not in ("ok", "unknown_model") and (pause := self._unknown.get(name)):
            pause.left()
        mark = "none" if outcome is None else RULES[outcome].mark
        if mark == "good":
            self.breaker.good()
        elif mark == "bad":
            self.breaker.bad(ended)
        else:
            self.breaker.left()
        if outcome is not None:
            self._observe(self.plan.name, outcome, took_s)

    def _patience_s(self, name: str) -> float:
        """How long it may take when its callers leave before its timeout_s is over."""
        usual_s = self._answered.usual_s(name)
        patience_s = max(_TIMES_USUAL * usual_s, _SHORT_S) if usual_s else _UNKNOWN_S
        return min(patience_s, self.plan.settings.timeout_s)

    def _learn(self, failed: AttemptFailed, place: int, name: str) -> None:
        now = self._clock()
        until = now + min(failed.rest_s, MOST_REST_S)
        rests = RULES[failed.outcome].rests
        if rests == "key":
            self.keys.rest(place, until)
        elif rests == "key, long":
            pause_s = self.keys.refused(place, now)
            log_refusal(
                "upstream refuses a key",
                f"It is tried again in {pause_s:.0f} s, or when the settings are read (SIGHUP).",
                upstream=self.plan.name,
                key=place + 1,
                keys=len(self.plan.keys),
                status=failed.status,
            )
        elif rests == "name":
            pause_s = self._unknown.setdefault(name, Pause()).refused(now)
            log_refusal(
                "upstream has no such model",
                f"It is tried again in {pause_s:.0f} s, or when the settings are read (SIGHUP).",
                upstream=self.plan.name,
                model=name,
                status=failed.status,
            )
        elif rests == "upstream" and failed.retry_after_s is not None:
            self._rests_until = until

    async def _exchange(
        self, request: RerankRequest, name: str, key: str | None, timeout_s: float
    ) -> Ranking:
        asked = self.request_for(request, name)
        is_large = sum(len(content.value) for content in asked.documents) > _LARGE_BYTES
        if is_large:
            sent = await asyncio.to_thread(self._encoded, asked, key)
        else:
            sent = self._encoded(asked, key)
        settings = self.plan.settings
        answer = await self.transport.send(sent, timeout_s=min(timeout_s, settings.timeout_s))
        if is_large:
            ranking = await asyncio.to_thread(self._decoded, answer, asked)
        else:
            ranking = self._decoded(answer, asked)
        if wrong(ranking, request):
            raise AttemptFailed("bad_answer", status=answer.status)
        return of_logits(ranking) if self.gives_logits and not request.raw_scores else ranking

    def _encoded(self, asked: RerankRequest, key: str | None) -> Sent:
        try:
            found: Outgoing = self.plan.dialect.outgoing(asked, key)
        except InvalidRequest as error:  # it reads no such content
            raise AttemptFailed("over_limit", error=error) from error
        own = {"user-agent": self._agent, **sent_headers()}
        headers: Mapping[str, str] = {**found.wire.headers, **own}
        return Sent(
            target=self.plan.origin.target(found.wire.path),
            headers=headers,
            body=found.wire.body,
        )

    def _decoded(self, answer: WireAnswer, asked: RerankRequest) -> Ranking:
        try:
            return ranking_of(self.plan.dialect, answer, asked)
        except (AttemptFailed, RerankError):
            raise
        except Exception as error:  # a body that no decoder foresaw is a bad answer, not our bug
            raise AttemptFailed("bad_answer", status=answer.status) from error

    def _take_rates(self, request: RerankRequest) -> None:
        """Stay below its own limits. Raises AttemptFailed: "busy"."""
        wait_s = self._rpm.take(1) if self._rpm else 0.0
        if wait_s > 0:
            raise AttemptFailed("busy", retry_after_s=wait_s)
        wait_s = self._tpm.take(estimated_tokens(request)) if self._tpm else 0.0
        if wait_s > 0:
            if self._rpm:
                self._rpm.give_back(1)
            raise AttemptFailed("busy", retry_after_s=wait_s)

    async def _enter(self, wait_s: float) -> None:
        """A place among the requests to it, in turn. Raises AttemptFailed: "busy"."""
        if self.has_room:
            self._in_flight += 1
            return
        if wait_s <= 0:
            raise AttemptFailed("busy")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(wait_s):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._leave()  # the place came at the last moment
            else:
                with contextlib.suppress(ValueError):  # whoever left has dropped it
                    self._waiting.remove(turn)
            if isinstance(error, TimeoutError):
                raise AttemptFailed("busy") from None
            raise

    def _leave(self) -> None:
        """Hand the place to whoever waits longest."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._in_flight -= 1
