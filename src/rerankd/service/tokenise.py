"""Requests as token rows, and the threads that make them: large ones never hold up small ones."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from rerankd.core.batch import distinct
from rerankd.core.errors import InvalidRequest
from rerankd.core.meter import Meter
from rerankd.core.request import RerankRequest
from rerankd.core.rows import Prepared, Row
from rerankd.models.base import AnyModel, remembering
from rerankd.service.admit import check
from rerankd.service.bodies import of_request
from rerankd.service.query_cut import prepared_of
from rerankd.settings.schema import Limits

_SMALL_BYTES: Final = 65_536  # text of a request that is tokenised in a few milliseconds
_LANE: Final = 2  # threads of each lane
_AT_ONCE: Final = 64  # remembered documents, that no thread is woken for


class Lanes:
    """Two threads for small requests, two for large ones."""

    threads: Final = 2 * _LANE

    def __init__(self) -> None:
        self.small = ThreadPoolExecutor(_LANE, thread_name_prefix="prepare-small")
        self._large = ThreadPoolExecutor(_LANE, thread_name_prefix="prepare-large")

    def lane(self, text_bytes: int, *, has_media: bool) -> ThreadPoolExecutor:
        """Where a request of that size is tokenised."""
        return self._large if has_media or text_bytes > _SMALL_BYTES else self.small

    def close(self) -> None:
        """Stop the threads."""
        for lane in (self.small, self._large):
            lane.shutdown(wait=False, cancel_futures=True)


class Tokenised(NamedTuple):
    """Requests as rows."""

    prepared: Sequence[Prepared]  # one per request
    rows: list[Row]  # of all requests, each distinct pair once
    inverse: list[int]  # for every row of `prepared`, request by request, its place in `rows`


def tokenise_known(
    requests: Sequence[RerankRequest],
    model: AnyModel,
    meter: Meter,
    limits: Limits | None,
    text_bytes: int,
) -> Tokenised | None:
    """As tokenise(), for few texts that the model remembers: at once, in 0.1 ms or so.

    Args:
        requests: one body's.
        model: that may remember them.
        meter: counts all tokens.
        limits: what a request may bring; None = that was checked.
        text_bytes: about how much text there is.

    Returns:
        None: a thread has to do it, or say what is wrong.
    """
    documents = sum([len(request.documents) for request in requests])
    remembers = remembering(model)
    if remembers is None or documents > _AT_ONCE or text_bytes > _SMALL_BYTES:
        return None
    found: list[Prepared] = []
    try:
        for request in requests:
            if limits is not None:
                check(request, limits, model.card)
            prepared = remembers.prepare_known(request, meter)
            if prepared is None:
                return None
            found.append(prepared)
    except InvalidRequest:
        return None
    return Tokenised(found, *distinct([row for prepared in found for row in prepared.rows]))


def tokenise(
    requests: Sequence[RerankRequest], model: AnyModel, meter: Meter, limits: Limits | None
) -> Tokenised:
    """What costs CPU before the queue: on a thread, so that the event loop stays free.

    Args:
        requests: one body's.
        model: whose template and tokenizer.
        meter: counts all tokens, and ends this when it is cancelled.
        limits: what a request may bring; None = that was checked.

    Raises:
        OfRequest: one of them is refused.
        Abandoned: the meter was cancelled.
    """
    found: list[Prepared] = []
    for i, request in enumerate(requests):
        with of_request(i):
            if limits is not None:
                check(request, limits, model.card)
            found.append(prepared_of(model, request, meter))
    return Tokenised(found, *distinct([row for prepared in found for row in prepared.rows]))
