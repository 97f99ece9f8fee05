"""One body that asks for several rankings: what its parts have in common, whose error is whose."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Generator, Sequence
from dataclasses import replace

from rerankd.core.cascade import in_whole_request
from rerankd.core.errors import InvalidRequest
from rerankd.core.portable import Portable
from rerankd.core.request import RerankRequest


class OfRequest(Portable):
    """An InvalidRequest of one of several requests."""

    index: int
    cause: InvalidRequest

    def __init__(self, index: int, cause: InvalidRequest) -> None:
        super().__init__(cause.message)
        self.index = index
        self.cause = cause


@contextlib.contextmanager
def of_request(index: int) -> Generator[None]:
    """What the block says of documents[i] is about requests[index]. Raises OfRequest."""
    try:
        yield
    except InvalidRequest as error:
        raise OfRequest(index, error) from None


def in_body(error: OfRequest, places: Sequence[Sequence[int]]) -> InvalidRequest:
    """The error with its documents[i] counted as the body counts; `places` as ParsedBody's."""
    return in_whole_request(error.cause, places[error.index]) if places else error.cause


class Together:
    """Several requests as one, for what counts and budgets them as one."""

    def __init__(self, requests: Sequence[RerankRequest]) -> None:
        """Its documents: all documents in order, then all queries but the first."""
        self._requests = requests
        first, *others = requests
        documents = [document for request in requests for document in request.documents]
        self.request = replace(
            first, documents=(*documents, *(request.query for request in others))
        )
        self._owners = [
            (i, j) for i, request in enumerate(requests) for j in range(len(request.documents))
        ]

    def apart(self, whole: RerankRequest) -> Sequence[RerankRequest]:
        """The requests again, with the contents of `whole`."""
        split = len(self._owners)
        documents = iter(whole.documents[:split])
        queries = (whole.query, *whole.documents[split:])
        return [
            replace(
                request, query=query, documents=tuple(next(documents) for _ in request.documents)
            )
            for request, query in zip(self._requests, queries, strict=True)
        ]

    @contextlib.asynccontextmanager
    async def naming(self) -> AsyncGenerator[None]:
        """What the block says of the whole's documents is about one request. Raises OfRequest."""
        try:
            yield
        except InvalidRequest as error:
            raise self._of(error) from None

    def _of(self, error: InvalidRequest) -> OfRequest:
        name = error.param or ""
        if not name.startswith("documents["):
            return OfRequest(0, error)
        place = int(name.removeprefix("documents[").partition("]")[0])
        if place < len(self._owners):
            i, j = self._owners[place]
            return OfRequest(i, in_whole_request(error, {place: j}))
        query = place - len(self._owners) + 1
        message = error.message.replace(name, "query", 1)
        return OfRequest(query, InvalidRequest(message, param="query"))
