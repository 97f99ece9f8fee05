"""One model's rankings of one body's requests: decode images, tokenise, schedule, rank.

Who asks, by which name and at what price is the router's; here are texts, tokens and places.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import TypeVar

from rerankd.core.answer import Ranking
from rerankd.core.cost import Cost
from rerankd.core.errors import InvalidRequest
from rerankd.core.meter import Meter
from rerankd.core.request import RerankRequest
from rerankd.media.loader import MediaLoader
from rerankd.models.base import remembering
from rerankd.service.admission import Ticket
from rerankd.service.admit import check, check_ranks, text_bytes
from rerankd.service.base import RerankCall
from rerankd.service.bodies import OfRequest, Together, of_request
from rerankd.service.pool import LoadedModel
from rerankd.service.ranking import rank_all
from rerankd.service.tokenise import Lanes, Tokenised, tokenise, tokenise_known
from rerankd.service.work import Scored
from rerankd.settings.schema import Limits

T = TypeVar("T")
_Unread = list[tuple[int, str]]  # (place of the request, name of the field)


class Pipeline:
    """What a model's queue, the tokenising threads and the images' loader do for a request."""

    def __init__(self, limits: Limits, media: MediaLoader | None = None) -> None:
        """Media is what fetches and decodes; None = text only."""
        self.limits = limits
        self.media = media
        self.lanes = Lanes()

    async def rank(
        self,
        requests: Sequence[RerankRequest],
        loaded: LoadedModel,
        call: RerankCall,
        *,
        ticket: Ticket | None = None,
        is_checked: bool = False,
    ) -> Sequence[Ranking]:
        """One model's rankings; counts and times are added to the call's trace.

        Args:
            requests: all of the call's, or some of them, or a stage of one.
            loaded: the model that ranks them.
            call: whom it is for.
            ticket: a place in the model's queue that was reserved; None = it is asked for here.
            is_checked: what they bring was checked for an earlier stage.

        Raises:
            OfRequest: one of them is refused.
            InvalidRequest: the model does not rank.
            Overloaded, DeadlineExceeded, EngineFailed; whatever call.charge raises.
        """
        check_ranks(loaded.model.card)
        unread = [
            (i, name)
            for i, request in enumerate(requests)
            for name, content in request.contents()
            if content.is_unread
        ]
        reading = self._decoded(requests, unread, loaded, call) if unread else nullcontext(requests)
        async with reading as read:
            size, started = text_bytes(read, loaded.model.card), time.perf_counter()
            admission, until = loaded.scheduler.admission, call.trace.until
            if ticket is None:
                place = admission.reserve_text(size, call.share, until)
            else:
                place = nullcontext(ticket)
            with place as held:
                limits = None if is_checked or unread else self.limits
                most = loaded.scheduler.request_tokens
                found = None
                if remembering(loaded.model) is not None:
                    found = tokenise_known(read, loaded.model, Meter(most), limits, size)
                if found is None:
                    lane = self.lanes.lane(size, has_media=bool(unread))
                    meter = Meter(most)
                    work = partial(tokenise, read, loaded.model, meter, limits)
                    found = await _stopping(meter, lane, work)
            scored = await self._schedule(found, read[0], loaded, call, held, started)
            meter = Meter()
            ranked = partial(rank_all, read, found, scored, loaded.model, meter.check)
            if any(request.explain for request in read):  # texts are looked at again
                lane = self.lanes.lane(size, has_media=bool(unread))
                rankings = await _stopping(meter, lane, ranked)
            else:
                rankings = ranked()
        cached_tokens = sum(ranking.cached_tokens for ranking in rankings)
        call.trace.cost += Cost(cached_tokens=cached_tokens)
        return rankings

    @asynccontextmanager
    async def _decoded(
        self,
        requests: Sequence[RerankRequest],
        unread: _Unread,
        loaded: LoadedModel,
        call: RerankCall,
    ) -> AsyncGenerator[Sequence[RerankRequest]]:
        """The requests with their images and videos decoded, until their answer is made.

        Only for a model that reads them, and only when its queue has room: a request that would be
        refused anyway causes no fetch.
        """
        card = loaded.model.card
        for i, request in enumerate(requests):
            with of_request(i):
                check(request, self.limits, card)
        if self.media is None:
            i, name = unread[0]
            raise OfRequest(i, InvalidRequest(f"{name}: only texts are read here.", param=name))
        admission, until = loaded.scheduler.admission, call.trace.until
        admission.check_text(text_bytes(requests, card), call.share, until)
        call.trace.cost += Cost(media=len(unread))
        call.trace.passed()
        started, is_decoded = time.perf_counter(), False
        whole = Together(requests)
        try:
            async with whole.naming(), self.media.resolve(whole.request, card.video) as resolved:
                seconds, is_decoded = time.perf_counter() - started, True
                call.trace.cost += Cost(media_bytes=_media_bytes(resolved), media_s=seconds)
                yield whole.apart(resolved)
        except BaseException:
            if not is_decoded:
                call.trace.cost += Cost(media_s=time.perf_counter() - started)
            raise

    async def _schedule(
        self,
        found: Tokenised,
        first: RerankRequest,
        loaded: LoadedModel,
        call: RerankCall,
        ticket: Ticket | None,
        started: float,
    ) -> Scored:
        """Logits of all rows: charged, then queued, then run."""
        trace, scheduler = call.trace, loaded.scheduler
        tokens = sum(prepared.input_tokens for prepared in found.prepared)
        images = sum(prepared.image_tokens for prepared in found.prepared)
        trace.cost += Cost(
            pairs=len(found.inverse),
            input_tokens=tokens,
            image_tokens=images,
            prepare_s=time.perf_counter() - started,
        )
        trace.own_s += scheduler.admission.pace.seconds(sum(row.tokens for row in found.rows))
        # Cached or not: what a key may send must not depend on what others asked before.
        await call.charge(tokens)
        trace.passed()
        scored = await scheduler.submit(
            found.rows,
            key=call.share,
            priority=first.priority,
            ticket=ticket,
            until=trace.until,
            scope=first.scope,
        )
        trace.cost += Cost(queue_s=scored.queue_s, engine_s=scored.engine_s)
        return scored

    def close(self) -> None:
        """Stop the threads that tokenise and decode."""
        self.lanes.close()
        if self.media is not None:
            self.media.close()


async def _stopping(meter: Meter, lane: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    """What comes of work on a thread; whoever is cancelled stops it where it asks the meter."""
    try:
        return await asyncio.get_running_loop().run_in_executor(lane, work)
    finally:
        meter.cancel()


def _media_bytes(request: RerankRequest) -> int:
    """Encoded bytes of a request's images and videos; equal ones are one object."""
    found = {id(content.media): content.media for _, content in request.contents()}
    return sum(media.encoded_bytes for media in found.values() if media is not None)
