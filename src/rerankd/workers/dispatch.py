"""Calls on their way: to whoever will be done first, and to another one when that one has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from rerankd.core.answer import Ranking
from rerankd.core.cost import Cost
from rerankd.core.embedding import Embedded
from rerankd.core.errors import EngineFailed, Overloaded
from rerankd.service.base import EmbedCall, RerankCall, Trace
from rerankd.telemetry.logs import log_refusal
from rerankd.workers import messages
from rerankd.workers.affinity import Seen, signature
from rerankd.workers.choice import Reckoning, soonest
from rerankd.workers.forms import embedded_of, texts_form, work_form
from rerankd.workers.member import Member
from rerankd.workers.messages import CountedTokens, SpentSoFar, ToWorker
from rerankd.workers.remote import WorkerLost, WorkerSilent

A = TypeVar("A", messages.Ranked, messages.EmbeddedTexts)

_RERUNS: Final = 2  # of a request: what has ended a third worker is probably the request
_MOVES: Final = 2  # of a request: what silences a third worker stays until that one has done it


class Dispatch:
    """Sends calls to the members of a team."""

    def __init__(self, members: Sequence[Member], wait_s: float) -> None:
        """Nobody is asked yet.

        Args:
            members: by their numbers.
            wait_s: limits.wait_s: how long a call waits for a worker to come back.
        """
        self._members = members
        self._wait_s = wait_s
        self._reckonings: dict[str, Reckoning] = {}
        self._seen: dict[str, Seen] = {}  # by model
        self._was_ready: set[str] = set()  # models
        self._more = asyncio.Event()  # set, then replaced, when a worker can be asked more

    def note_change(self) -> None:
        """A worker can be asked something else than before."""
        for member in self._members:
            self._was_ready |= member.ready
        self._more.set()
        self._more = asyncio.Event()

    def forget(self, number: int) -> None:
        """A worker has ended: what it remembered is gone."""
        for seen in self._seen.values():
            seen.forget(number)

    async def rerank(self, call: RerankCall) -> Sequence[Ranking]:
        """The rankings of a call.

        Raises:
            Whatever a worker raised, as service.base.Backend says; EngineFailed too when the call
            was with three workers that ended; Overloaded when there is none now.
        """
        texts = [each.value for request in call.requests for each in request.documents]
        way = self._way(call, texts)
        found = await self._answered(way, lambda number: work_form(number, call), messages.Ranked)
        way.learn(
            sum(each.input_tokens or 0 for each in found.rankings),
            sum(each.cached_tokens for each in found.rankings),
        )
        return found.rankings

    async def embed(self, call: EmbedCall) -> Embedded:
        """The vectors of a call. Raises: as rerank."""
        way = self._way(call, call.request.texts)
        return embedded_of(
            await self._answered(
                way, lambda number: texts_form(number, call), messages.EmbeddedTexts
            )
        )

    async def _answered(self, way: _Way, question: Callable[[int], ToWorker], answer: type[A]) -> A:
        lost, moved, refused = 0, 0, set[int]()
        while True:
            there = await self._there(way.model)
            asked = there.keys() - refused or there.keys()
            number = way.choose({n: there[n].work_s for n in sorted(asked)})
            try:
                way.is_movable = moved < _MOVES
                return await self._asked(there[number], way, question, answer)
            except WorkerSilent:
                moved += 1
                there[number].reruns += 1
            except WorkerLost:
                lost += 1
                there[number].reruns += 1
                if lost > _RERUNS:
                    reason = f"{lost} workers ended while they had one request"
                    log_refusal("request given up", reason, model=way.model)
                    raise EngineFailed("Internal error.") from None
            except Overloaded:
                least = min(there[n].work_s for n in there)
                if refused or way.is_refused or there[number].work_s <= least:
                    raise
                refused.add(number)  # it was asked for what it remembers; others have less to do

    async def _asked(
        self, member: Member, way: _Way, question: Callable[[int], ToWorker], answer: type[A]
    ) -> A:
        """One worker's answer."""
        remote = member.remote
        if remote is None:
            raise WorkerLost
        with member.holding() as held:
            held.reckon(way.seconds)

            async def counted(message: CountedTokens) -> None:
                way.spent(message.spent)
                held.reckon(way.counted(message.spent.own_s))
                await way.pay(message.tokens)
                way.trace.passed()

            way.begin()
            found = await remote.ask(
                question,
                answer,
                counted=counted,
                passed=way.trace.passed,
                failed=way.spent,
                is_movable=way.is_movable,
            )
            way.spent(found.spent)
            member.answered += 1
            return found

    async def _there(self, model: str) -> dict[int, Member]:
        """The workers that can be asked for a model, awaited when all have ended.

        Raises:
            Overloaded: there is none.
        """
        try:
            async with asyncio.timeout(self._wait_s):
                while True:
                    having = [each for each in self._members if each.has(model)]
                    lively = [each for each in having if not each.is_silent]
                    if found := lively or having:
                        return {each.number: each for each in found}
                    if model not in self._was_ready:
                        raise Overloaded(f"{model} is still loading.", retry_after_s=2.0)
                    await self._more.wait()
        except TimeoutError:
            raise Overloaded(
                f"No worker has {model} now; one is being started.", retry_after_s=2.0
            ) from None

    def _way(self, call: RerankCall | EmbedCall, texts: Sequence[str]) -> _Way:
        reckoning = self._reckonings.setdefault(call.model, Reckoning())
        return _Way(call, texts, reckoning, self._seen.setdefault(call.model, Seen()))


class _Way:
    """One call, whoever does it."""

    def __init__(
        self,
        call: RerankCall | EmbedCall,
        texts: Sequence[str],
        reckoning: Reckoning,
        seen: Seen,
    ) -> None:
        self.model = call.model
        self.trace: Trace = call.trace
        self.seconds = 0.0  # that it takes where it is sent
        self.is_refused = False  # by who charges for it
        self.is_movable = True  # from a worker of which nothing is heard
        self._charge: Callable[[int], Awaitable[None]] = call.charge
        self._bytes = sum(map(len, texts))
        self._signed = signature(texts)
        self._reckoning = reckoning
        self._seen_by = seen
        self._was_there = False
        self._paid = 0  # tokens, whichever worker counted them
        self._seen = 0  # that the present worker counted
        self._before: tuple[Cost, float] = call.trace.cost, call.trace.own_s

    def choose(self, work_s: dict[int, float]) -> int:
        """Who is asked, of those with so much work."""
        own = self._reckoning.seconds(self._bytes)
        seen_s, seen = self._reckoning.seen(own), self._seen_by.of(self._signed)
        number = soonest(work_s, seen, own, seen_s, self._signed)
        self._was_there = number in seen
        self.seconds = seen_s if self._was_there else own
        self._seen_by.note(self._signed, number)
        return number

    def begin(self) -> None:
        """A worker counts from the start."""
        self._seen = 0

    async def pay(self, tokens: int) -> None:
        """Charge what was not charged for another worker's count already."""
        self._seen += tokens
        if self._seen > self._paid:
            more, self._paid = self._seen - self._paid, self._seen
            try:
                await self._charge(more)
            except BaseException:
                self.is_refused = True
                raise

    def counted(self, own_s: float) -> float:
        """What it will take, now that a worker has counted it."""
        self._reckoning.counted(self._bytes, own_s)
        if own_s:
            self.seconds = self._reckoning.seen(own_s) if self._was_there else own_s
        return self.seconds

    def learn(self, tokens: int, cached: int) -> None:
        """How much of it was remembered where it was before."""
        if self._was_there:
            self._reckoning.answered_again(tokens, cached)

    def spent(self, spent: SpentSoFar) -> None:
        """What the present worker took of time and tokens."""
        cost, own_s = self._before
        self.trace.engine = spent.engine
        self.trace.cost = cost + spent.cost
        self.trace.own_s = own_s + spent.own_s
