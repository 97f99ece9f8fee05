"""How an upstream's answer ended the attempt: its status, code and words as an outcome. Pure.

An upstream's words are never the caller's to read: they may hold an address, or the key that it
was called with. What the caller is told of a request that is refused is written here.
"""

from __future__ import annotations

import re
from typing import Final

from rerankd.core.answer import Ranking
from rerankd.core.errors import (
    BodyTooLarge,
    DeadlineExceeded,
    Forbidden,
    InvalidRequest,
    Overloaded,
    QuotaExceeded,
    RateLimited,
    RerankError,
    Unauthorized,
    UnknownModel,
)
from rerankd.core.request import RerankRequest
from rerankd.dialects.base import Dialect
from rerankd.dialects.failures import retry_after_s
from rerankd.dialects.wire import WireAnswer
from rerankd.gateway.failover import AttemptFailed, Outcome

_LARGE: Final = (
    "The request is too large for whoever answers for this model: send fewer or shorter documents."
)
# Words of a bound, and of what is counted: together they are that provider's own limit.
_BOUND = re.compile(
    r"too (many|long|large|big)|exceed|maximum|limit|at most|no more than|less than|longer than"
    r"|larger than|greater than|batch size|context length|max_|上限|超过|超出|超长|过长",
    re.IGNORECASE,
)
_COUNTED = re.compile(
    r"document|text|passage|input|item|token|byte|character|length|size|batch|chunk|quer"
    r"|长度|文档|文本|字",
    re.IGNORECASE,
)
# The name of the model is the operator's word: what is said of it is never the caller's fault.
_NO_MODEL = re.compile(
    r"model\b.{0,150}?\b(is not|isn't) (\w+ )?(served|supported|available|found|known|valid)\b"
    r"|model\b.{0,150}?\b(not found|does(n't| not) exist|not exist|unknown|unavailable)\b"
    r"|\b(invalid|unknown|unsupported|no such) model\b|模型.{0,30}(不存在|不支持|未找到)",
    re.IGNORECASE | re.DOTALL,
)
# What a provider may call it -> the canonical field.
_FIELDS: Final = {
    **dict.fromkeys(("documents", "texts", "passages", "document", "passage"), "documents"),
    **dict.fromkeys(("query", "queries"), "query"),
    **dict.fromkeys(("top_n", "top_k"), "top_n"),
    **dict.fromkeys(("instruction", "instruct"), "instruction"),
    **dict.fromkeys(("max_chunks_per_doc", "max_chunk_per_doc"), "max_chunks_per_doc"),
    **dict.fromkeys(("max_tokens_per_doc", "max_doc_length"), "max_tokens_per_doc"),
    "rank_fields": "rank_fields",
    "overlap_tokens": "overlap_tokens",
    "truncation": "truncation",
}
_WORD = re.compile(r"[a-z_]+")
_BY_CLASS: Final[dict[type[RerankError], Outcome]] = {
    UnknownModel: "unknown_model",
    **dict.fromkeys((Unauthorized, Forbidden, QuotaExceeded), "refused"),
    RateLimited: "rate_limited",
    Overloaded: "overloaded",
    DeadlineExceeded: "timeout",
}


def ranking_of(dialect: Dialect, answer: WireAnswer, request: RerankRequest) -> Ranking:
    """The ranking that an upstream answered with, as its dialect reads it.

    Args:
        dialect: the upstream's.
        answer: whole.
        request: what it was asked.

    Raises:
        AttemptFailed: it is none. Its cause is the upstream's error, in the upstream's words.
    """
    try:
        return dialect.ranking(answer, request)
    except RerankError as error:
        raise _failure(error, answer) from error


def _failure(error: RerankError, answer: WireAnswer) -> AttemptFailed:
    """The outcome of an error, by its class, which the dialect chose by code and status."""
    status = answer.status
    if isinstance(error, BodyTooLarge):
        return AttemptFailed("over_limit", status=status, error=BodyTooLarge(_LARGE))
    if isinstance(error, InvalidRequest) and not isinstance(error, UnknownModel):
        return _invalid(error, status)
    outcome: Outcome | None = next(
        (o for kind, o in _BY_CLASS.items() if isinstance(error, kind)), None
    )
    if status == 429:  # a rate, or a queue that is full
        outcome = "rate_limited"
    said = retry_after_s(answer.headers) if "retry-after" in answer.headers else None
    return AttemptFailed(outcome or _by_status(status), status=status, retry_after_s=said)


def _by_status(status: int) -> Outcome:
    """The outcome of a status that has no class of error of its own."""
    if 300 <= status < 400:
        return "redirected"
    if status in (408, 524):
        return "timeout"
    if status in (405, 410):  # the address is wrong, or is no more
        return "unknown_model"
    if status >= 500 or status == 424:  # TEI's: what is behind it failed
        return "failed"
    return "bad_answer"


def _invalid(error: InvalidRequest, status: int) -> AttemptFailed:
    """Whether only that provider has such a limit, or the request is wrong for everybody.

    The request is within this server's own limits, so a count that is too high is that provider's.
    """
    message = error.message
    if _NO_MODEL.search(message):
        return AttemptFailed("unknown_model", status=status)
    field = next((_FIELDS[w] for w in _WORD.findall(message.lower()) if w in _FIELDS), None)
    if _BOUND.search(message) and _COUNTED.search(message):
        told = InvalidRequest(_LARGE, param=field or "documents", fault="too_long")
        return AttemptFailed("over_limit", status=status, error=told)
    refused = "whoever answers for this model refuses the request: a value is not possible there."
    told = InvalidRequest(f"{field}: {refused}" if field else refused.capitalize(), param=field)
    return AttemptFailed("invalid", status=status, error=told)
