"""What an upstream's answer means, for every dialect that can be called."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from rerankd.core.answer import Hit, Ranking
from rerankd.core.errors import (
    BodyTooLarge,
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
from rerankd.core.request import Content, RerankRequest
from rerankd.dialects.base import Dialect
from rerankd.dialects.registry import SERVED
from rerankd.dialects.wire import Envelope, Options, WireAnswer
from rerankd.gateway.failover import AttemptFailed, Outcome
from rerankd.gateway.outcomes import ranking_of

CALLABLE = [found for found in SERVED.served if isinstance(found, Dialect)]
every = pytest.mark.parametrize("dialect", CALLABLE, ids=lambda found: found.name)
REQUEST = RerankRequest(
    query=Content(value="q"), documents=(Content(value="a"), Content(value="b"))
)
ENVELOPE = Envelope(request_id="r1", created=1700000000)
RANKING = Ranking(
    model="m", hits=(Hit(1, 0.75, 0.75), Hit(0, 0.5, 0.5)), documents=2, input_tokens=8
)
JINA = next(found for found in CALLABLE if found.name == "jina")

BY_OUTCOME: dict[Outcome, tuple[int, ...]] = {
    "bad_answer": (201, 204, 406, 409, 418, 451),
    "redirected": (301, 302, 303, 307, 308),
    "refused": (401, 402, 403),
    "unknown_model": (404, 405, 410),
    "timeout": (408, 504, 524),
    "over_limit": (413,),
    "invalid": (400, 422),
    "rate_limited": (429,),
    "failed": (500, 501, 502, 520, 521, 599),
    "overloaded": (503, 529),
}
STATUSES = {status: outcome for outcome, found in BY_OUTCOME.items() for status in found}


def failed(dialect: Dialect, answer: WireAnswer) -> AttemptFailed:
    with pytest.raises(AttemptFailed) as raised:
        ranking_of(dialect, answer, REQUEST)
    return raised.value


def said(status: int, message: str = "why", **headers: str) -> WireAnswer:
    body = msgspec.json.encode({"message": message})
    return WireAnswer(status=status, body=body, headers=headers)


@every
@pytest.mark.parametrize("status", STATUSES)
def test_each_status_is_one_outcome_in_every_dialect(dialect: Dialect, status: int) -> None:
    found = failed(dialect, said(status))
    assert (found.outcome, found.status) == (STATUSES[status], status)


ERRORS: list[tuple[RerankError, str]] = [
    (UnknownModel("model: 'x' is not served."), "unknown_model"),
    (Unauthorized("Invalid token"), "refused"),
    (Forbidden("This key may not use this model."), "refused"),
    (QuotaExceeded("The budget of this key is used up."), "refused"),
    (RateLimited("RPM", retry_after_s=7), "rate_limited"),
    (InvalidRequest("query: it has a wrong value", param="query"), "invalid"),
    (BodyTooLarge("The body is over 5 bytes."), "over_limit"),
    (InvalidRequest("documents: 99 were sent; the limit is 9", param="documents"), "over_limit"),
    (EngineFailed("Internal error."), "failed"),
    (UpstreamFailed("Nobody answered."), "failed"),
]


@every
@pytest.mark.parametrize(("error", "outcome"), ERRORS, ids=[f"{e.kind}-{o}" for e, o in ERRORS])
def test_a_providers_own_form_of_an_error_is_read(
    dialect: Dialect, error: RerankError, outcome: str
) -> None:
    answer = dialect.render_error(error, ENVELOPE, Options())
    found = failed(dialect, answer)
    assert found.outcome == outcome
    if isinstance(error, RateLimited):
        assert found.retry_after_s == 7


@every
def test_a_full_queue_rests_and_says_how_long(dialect: Dialect) -> None:
    answer = dialect.render_error(Overloaded("full", retry_after_s=7), ENVELOPE, Options())
    found = failed(dialect, answer)
    assert found.outcome == ("rate_limited" if answer.status == 429 else "overloaded")
    assert found.retry_after_s == 7


@every
def test_a_right_answer_is_the_ranking(dialect: Dialect) -> None:
    found = ranking_of(dialect, dialect.render(REQUEST, RANKING, ENVELOPE), REQUEST)
    assert [(hit.index, hit.score) for hit in found.hits] == [(1, 0.75), (0, 0.5)]


BROKEN: list[bytes] = [b"", b"{", b"null", b"[]x", b"<html>", b"\xff", b"[" * 100_000, b"1e999"]


@every
@pytest.mark.parametrize("body", BROKEN, ids=lambda body: repr(body[:8]))
def test_a_200_that_is_no_answer_is_a_bad_one(dialect: Dialect, body: bytes) -> None:
    assert failed(dialect, WireAnswer(status=200, body=body)).outcome == "bad_answer"


@every
@pytest.mark.parametrize("status", [400, 429, 500])
def test_any_body_of_an_error_is_read(dialect: Dialect, status: int) -> None:
    for body in (*BROKEN, b'{"error":' * 900 + b"1" + b"}" * 900):
        assert failed(dialect, WireAnswer(status=status, body=body)).outcome == STATUSES[status]


def told(status: int, message: str) -> tuple[str, str | None]:
    found = failed(JINA, said(status, message))
    error = found.error
    assert isinstance(error, InvalidRequest | BodyTooLarge)
    assert error.message.count("\n") == 0
    return found.outcome, getattr(error, "param", None)


@pytest.mark.parametrize(
    "message",
    [
        "Model rerank-9 is not supported. Supported models are rerank-2.",
        "The model `x/y` does not exist or you do not have access to it.",
        "Invalid model: x",
        "model 'xyz' not found, make sure the correct model ID was used",
        "模型 x 不存在",
    ],
)
def test_what_is_said_of_the_models_name_is_not_the_callers_fault(message: str) -> None:
    assert failed(JINA, said(400, message)).outcome == "unknown_model"


@pytest.mark.parametrize(
    ("message", "outcome", "param"),
    [
        ("too many documents: at most 100", "over_limit", "documents"),
        ("passages: batch size 64 > maximum allowed batch size 32", "over_limit", "documents"),
        ("The query exceeds the model's context length", "over_limit", "query"),
        ("Total tokens exceed 600000", "over_limit", "documents"),
        ("输入文本超过最大长度", "over_limit", "documents"),
        ("query must not be empty", "invalid", "query"),
        ("top_k must be an integer", "invalid", "top_n"),
        ("documents.3 is not a string", "invalid", "documents"),
        ("instruction: this model does not support it", "invalid", "instruction"),
        ("Data may contain inappropriate content.", "invalid", None),
    ],
)
def test_whose_fault_a_400_is(message: str, outcome: str, param: str | None) -> None:
    assert told(400, message) == (outcome, param)


def test_a_provider_has_no_word_in_what_the_caller_is_told() -> None:
    secret = "sk-very-secret at http://10.0.0.7:8000/v1/rerank"
    for status in (400, 413, 422):
        for limit in ("", " documents exceed the limit"):
            found: Any = failed(JINA, said(status, secret + limit)).error
            assert "secret" not in found.message
            assert "10.0" not in found.message


def test_the_wait_is_a_time_by_the_providers_clock_too() -> None:
    date = {"date": "Sat, 28 Nov 2026 10:00:00 GMT"}
    later = {"retry-after": "Sat, 28 Nov 2026 10:00:40 GMT"}
    for headers, wait_s in (
        ({"retry-after": "17"}, 17.0),
        ({"retry-after": "2.5"}, 2.5),
        (date | later, 40.0),
        (later, 1.0),
        (date | {"retry-after": "Sat, 28 Nov 2026 09:00:00 GMT"}, 0.0),
        ({"retry-after": "9" * 400}, 1.0),
        ({"retry-after": "99999999"}, 300.0),
        ({"retry-after": "nan"}, 1.0),
        ({}, None),
    ):
        assert failed(JINA, said(429, "slow down", **headers)).retry_after_s == wait_s
