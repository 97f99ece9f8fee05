"""Errors on the wire, what all dialects share: headers to send, statuses and messages to read."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, cast

import msgspec

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
from rerankd.dialects.wire import WireAnswer

_RETRY_S = 1.0  # when a provider does not say
_DAY_S = 86_400.0
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{0,9})?")
_MESSAGE_KEYS = ("message", "detail", "error", "msg", "title")
_MOST_CHARACTERS = 1000  # of a provider's message that are passed on


def error_headers(error: RerankError) -> dict[str, str]:
    """`retry-after` in whole seconds, `www-authenticate`, `allow`: where the error has them.

    `x-rerankd-reason` says in one word why a 402, 403 or 429, `x-rerankd-budget-remaining` what is
    left of a budget, `x-should-retry: false` (which several providers' SDKs read) that the same
    request cannot succeed.
    """
    headers: dict[str, str] = {}
    wait_s: float | None = getattr(error, "retry_after_s", None)
    if wait_s is not None:
        headers["retry-after"] = str(max(1, math.ceil(wait_s)))
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    allow = getattr(error, "allow", None)
    if allow is not None:
        headers["allow"] = allow
    if error.reason is not None:
        headers["x-rerankd-reason"] = error.reason
    remaining: str | None = getattr(error, "remaining", None)
    if remaining is not None:
        headers["x-rerankd-budget-remaining"] = remaining
    if error.is_final:
        headers["x-should-retry"] = "false"
    return headers


def param_of(error: RerankError) -> str | None:
    """The field that the error names, if it is about a field."""
    return error.param if isinstance(error, InvalidRequest) else None


def error_of(answer: WireAnswer) -> RerankError:
    """A provider's error as ours, by its status; the message is the provider's.

    408 and 5xx without a meaning of their own are EngineFailed: worth one more try.
    """
    message = message_of(answer.body) or f"The provider answered with status {answer.status}."
    status = answer.status
    if status in (400, 422):
        return InvalidRequest(message)
    if status == 429:
        limit = "TPM" if "tpm" in message.lower() or "token" in message.lower() else "RPM"
        return RateLimited(limit, retry_after_s=retry_after_s(answer.headers))
    if status in (503, 529):
        return Overloaded(message, retry_after_s=retry_after_s(answer.headers))
    kinds: dict[int, type[RerankError]] = {
        401: Unauthorized,
        402: QuotaExceeded,
        403: Forbidden,
        404: UnknownModel,
        413: BodyTooLarge,
        498: InvalidRequest,
        502: UpstreamFailed,
        504: DeadlineExceeded,
    }
    kind: Any = kinds.get(status, EngineFailed)
    return kind(message)


def message_of(body: bytes) -> str:
    """The sentence in an error body of any provider; its text when it is not JSON."""
    try:
        found = _sentence(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = body.decode("utf-8", "replace").strip()
    return found[:_MOST_CHARACTERS]


def value_of(body: bytes, name: str) -> object:
    """A top-level value of a JSON object; None when there is none."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return cast("dict[str, Any]", found).get(name) if isinstance(found, dict) else None


def _sentence(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):  # FastAPI's 422
        inner = cast("list[Any]", value)
        return "; ".join(filter(None, (_sentence(item) for item in inner)))
    if isinstance(value, dict):
        found = cast("dict[str, Any]", value)
        return next(filter(None, (_sentence(found.get(key)) for key in _MESSAGE_KEYS)), "")
    return ""


def retry_after_s(headers: Mapping[str, str]) -> float:
    """Seconds that a provider asks to wait; 1 when it does not say, at most a day.

    A date is read by the provider's own clock: the answer's `date`.
    """
    value = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return min(float(value), _DAY_S)
    then, now = _time_of(value), _time_of(headers.get("date", ""))
    if then is None or now is None:
        return _RETRY_S
    return min(max(then - now, 0.0), _DAY_S)


def _time_of(value: str) -> float | None:
    """Unix time of an HTTP date."""
    try:
        return parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):
        return None
