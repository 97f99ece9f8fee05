"""A provider's status, as one of our errors: who reads it decides by the class."""

from __future__ import annotations

import pytest

from rerankd.core.errors import (
    BodyTooLarge,
    DeadlineExceeded,
    EngineFailed,
    Forbidden,
    InvalidRequest,
    Overloaded,
    QuotaExceeded,
    RateLimited,
    RerankError,
    Unauthorized,
    UnknownModel,
    UpstreamFailed,
)
from rerankd.dialects.failures import error_headers, error_of
from rerankd.dialects.wire import WireAnswer

STATUSES: dict[int, type[RerankError]] = {
    400: InvalidRequest,
    401: Unauthorized,
    402: QuotaExceeded,
    403: Forbidden,
    404: UnknownModel,
    408: EngineFailed,
    413: BodyTooLarge,
    418: EngineFailed,
    422: InvalidRequest,
    429: RateLimited,
    498: InvalidRequest,
    500: EngineFailed,
    502: UpstreamFailed,
    503: Overloaded,
    504: DeadlineExceeded,
    529: Overloaded,
}


def said(
    status: int, body: bytes = b'{"message":"why"}', retry_after: str | None = None
) -> RerankError:
    headers = {} if retry_after is None else {"retry-after": retry_after}
    return error_of(WireAnswer(status=status, body=body, headers=headers))


@pytest.mark.parametrize("status", STATUSES)
def test_each_status_has_its_error(status: int) -> None:
    assert type(said(status)) is STATUSES[status]


@pytest.mark.parametrize("status", sorted(STATUSES.keys() - {429}))
def test_the_message_is_the_providers(status: int) -> None:
    assert "why" in str(said(status))


def test_without_a_message_the_status_is_told() -> None:
    assert str(said(402, b"")) == "The provider answered with status 402."


@pytest.mark.parametrize("status", [429, 503, 529])
def test_the_time_to_wait_is_the_providers(status: int) -> None:
    for sent, wait_s in (("17", 17.0), (None, 1.0), ("x", 1.0)):
        error = said(status, retry_after=sent)
        assert isinstance(error, RateLimited | Overloaded)
        assert error.retry_after_s == wait_s


@pytest.mark.parametrize(
    ("wait_s", "sent"),
    [(0.0, "1"), (0.2, "1"), (1.0, "1"), (1.0005, "2"), (2.5, "3"), (60.0, "60"), (60.0001, "61")],
)
def test_who_waits_as_told_never_comes_too_early(wait_s: float, sent: str) -> None:
    assert error_headers(Overloaded("full", retry_after_s=wait_s))["retry-after"] == sent
    assert int(sent) >= wait_s
