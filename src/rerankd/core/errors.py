"""Every error that rerankd raises on purpose. Dialects decide how each one looks on the wire.

RerankError                    status  retry
|- InvalidRequest              400     no     a field is wrong, or over a limit
|  |- UnknownModel             400     no     no such model is served
|- Unauthorized                401     no     no key, an unknown one, an expired or revoked one
|- QuotaExceeded               402     no     the budget of the key is used up
|- Forbidden                   403     no     this key may not use this model, or not from there
|- UnknownPath                 404     no
|- MethodNotAllowed            405     no
|- BodyTimeout                 408     yes    the body did not arrive in time
|- BodyTooLarge                413     no
|- RateLimited                 429     yes    after retry_after_s; a limit of the key or team
|- Overloaded                  503     yes    after retry_after_s; queue full, loading, draining
|  |- ModelNotLoaded           503     later  an operator unloaded it, or it could not be loaded
|- DeadlineExceeded            504     yes    limits.deadline_s passed
|- UpstreamFailed              502     yes    who was to answer could not; shows no internals
|- SpaceUnavailable            503     no     nobody here answers on the scale that is insisted on
|- EngineFailed                500     once   our bug or a lost device; shows no internals
StartError                     -       -      the operator's configuration or a model is unusable
ChangeRefused                  -       -      a model is not loaded or unloaded now, and why
|- PrecisionUnavailable        -       -      this kind of model does not run in it, or not here

What a class sets in its constructor it declares, so that the error can cross a process
(core.portable).
"""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from rerankd.core.portable import Portable

# What is limited per key: requests and tokens per minute, per day; requests at once; a budget whose
# window ends within a minute. wrong_keys: its network sent too many unknown keys.
Rate = Literal["RPM", "TPM", "RPD", "TPD", "in_flight", "wrong_keys", "budget"]
_SOON_S: Final = 60.0  # what a client can wait for, and try again
_NOT_LOADED_S: Final = 30.0  # nobody knows when somebody loads a model again


class RerankError(Portable):
    """Base of all errors that a caller can meet. The message is for a person."""

    status: ClassVar[int]
    kind: ClassVar[str]  # short and stable, for logs, metrics and `error.type`

    reason: str | None = None  # one word for programs, where the status alone does not tell
    is_final: bool = False  # the same request cannot succeed: do not send it again

    @property
    def message(self) -> str:
        """The sentence for the caller: what, the limit, the way out."""
        return str(self)


class InvalidRequest(RerankError):
    """A field is missing, of the wrong type, out of range or over a limit.

    `param` is the field as `documents[0].text`; `fault` what is wrong with it, in pydantic's word,
    which some formats show.
    """

    status, kind = 400, "invalid_request"
    param: str | None
    fault: str

    def __init__(
        self, message: str, *, param: str | None = None, fault: str = "value_error"
    ) -> None:
        super().__init__(message)
        self.param = param
        self.fault = fault


class QueryTooLong(InvalidRequest):
    """The query has more tokens than the model takes; `limit` is what it takes."""

    tokens: int
    limit: int

    def __init__(self, message: str, *, tokens: int, limit: int) -> None:
        super().__init__(message, param="query")
        self.tokens = tokens
        self.limit = limit


def too_many(count: int, limit: int, name: str = "documents") -> InvalidRequest:
    """More documents or pairs than limits.documents; `name` is the field's name."""
    return InvalidRequest(
        f"{name}: {count} were sent; the limit is {limit} (limits.documents). Send fewer, in "
        "several requests: scores depend on other documents with listwise models only.",
        param=name,
        fault="too_long",
    )


def too_many_texts(count: int, limit: int, name: str) -> InvalidRequest:
    """More texts to embed than limits.documents; `name` is the field's name."""
    return InvalidRequest(
        f"{name}: {count} were sent; the limit is {limit} (limits.documents). Send fewer, in "
        "several requests.",
        param=name,
        fault="too_long",
    )


class UnknownModel(InvalidRequest):
    """No model of that name is served here; the message lists what is, and how to get it."""

    kind = "unknown_model"

    def __init__(self, message: str) -> None:
        super().__init__(message, param="model")


class Unauthorized(RerankError):
    """The key is missing, unknown, expired or revoked; `reason` says which of the last two."""

    status, kind = 401, "unauthorized"

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason


class QuotaExceeded(RerankError):
    """The key's budget for a day, a month or for ever is used up: no minute's wait helps.

    `remaining` is what is left of it, as "0.02 USD"; None where the caller is not told.
    """

    status, kind = 402, "quota_exceeded"
    reason = "quota"
    is_final = True
    remaining: str | None

    def __init__(self, message: str, *, remaining: str | None = None) -> None:
        super().__init__(message)
        self.remaining = remaining


class Forbidden(RerankError):
    """The key is good, but not for this model, from this network, or in this role."""

    status, kind = 403, "forbidden"
    reason = "model_not_allowed"

    def __init__(self, message: str, *, reason: str = "model_not_allowed") -> None:
        super().__init__(message)
        self.reason = reason


class UnknownPath(RerankError):
    """Nothing is served at this path."""

    status, kind = 404, "unknown_path"


class MethodNotAllowed(RerankError):
    """The path exists, the method does not."""

    status, kind = 405, "method_not_allowed"
    allow: str

    def __init__(self, message: str, *, allow: str) -> None:
        super().__init__(message)
        self.allow = allow


class BodyTimeout(RerankError):
    """The request body did not arrive within limits.body_s."""

    status, kind = 408, "body_timeout"


class BodyTooLarge(RerankError):
    """The body, unpacked, is over limits.body_bytes."""

    status, kind = 413, "body_too_large"
    is_final = True


class RateLimited(RerankError):
    """The key, or its team, used up a limit, which is free again after retry_after_s.

    `remaining` as QuotaExceeded's, of a budget.
    """

    status, kind = 429, "rate_limited"
    limit: Rate
    retry_after_s: float
    remaining: str | None

    def __init__(
        self, limit: Rate, *, retry_after_s: float, why: str = "", remaining: str | None = None
    ) -> None:
        wait = f"{retry_after_s:.0f} s."
        super().__init__(
            f"{why}; try again in {wait}" if why else f"{limit} limit reached; try again in {wait}"
        )
        self.limit = limit
        self.reason = "quota" if limit == "budget" else limit.lower()
        self.retry_after_s = retry_after_s
        self.remaining = remaining
        self.is_final = limit in ("RPD", "TPD") and retry_after_s > _SOON_S

    @property
    def counts_tokens(self) -> bool:
        """Whether fewer tokens would have passed, not fewer requests."""
        return self.limit in ("TPM", "TPD")


class Overloaded(RerankError):
    """No room in the queue, a model still loading, or the server is shutting down."""

    status, kind = 503, "overloaded"
    retry_after_s: float

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ModelNotLoaded(Overloaded):
    """The model has a name here but is not in memory: an operator unloaded it, or it failed."""

    kind = "model_not_loaded"
    reason = "model_not_loaded"

    def __init__(self, model: str) -> None:
        super().__init__(
            f"model: {model} is not loaded now. Ask this server's operator, or use another model.",
            retry_after_s=_NOT_LOADED_S,
        )


class UpstreamFailed(RerankError):
    """Whoever stands behind a routed name failed. The cause is logged, never told the caller."""

    status, kind = 502, "upstream_failed"


class SpaceUnavailable(RerankError):
    """Nobody answers on the scale that the caller insists on; the message names those there are."""

    status, kind = 503, "space_unavailable"
    reason = "space"
    is_final = True


class DeadlineExceeded(RerankError):
    """The request was not answered within limits.deadline_s."""

    status, kind = 504, "deadline_exceeded"

    def __init__(self, message: str, *, is_final: bool = False) -> None:
        """Final: the request alone takes that long; else it was waiting for others."""
        super().__init__(message)
        self.is_final = is_final


class EngineFailed(RerankError):
    """The engine could not answer. The cause goes to the log, never to the caller."""

    status, kind = 500, "engine_failed"


class StartError(Portable):
    """rerankd cannot start, or refuses a model: the message says what is wrong and what to do."""


class PrecisionUnavailable(StartError):
    """The model does not run in the precision that was chosen; it may run in another one."""


class ChangeRefused(Portable):
    """A model is not loaded or unloaded while the server runs; nothing was changed.

    `reason`: "busy" another change is under way; "unknown" there is no such model here; "no_room"
    it would not fit into memory; "not_possible" this kind of server changes nothing.
    """

    reason: Literal["busy", "unknown", "no_room", "not_possible"]

    def __init__(
        self, reason: Literal["busy", "unknown", "no_room", "not_possible"], message: str
    ) -> None:
        super().__init__(message)
        self.reason = reason
