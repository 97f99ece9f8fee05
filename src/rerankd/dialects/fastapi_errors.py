"""FastAPI's form of an error, which several share: `detail`, a sentence or a list of wrong fields.

Source: fastapi's HTTPException and HTTPValidationError, as in the providers' OpenAPI documents.
"""

from __future__ import annotations

import re

import msgspec

from rerankd.core.errors import InvalidRequest, RerankError, UnknownModel
from rerankd.dialects.failures import error_headers, param_of
from rerankd.dialects.wire import WireAnswer


class FastApiError(msgspec.Struct):
    """What went wrong."""

    detail: str


class FastApiFieldError(msgspec.Struct):
    """One field that is wrong: where it is, step by step; what is wrong, in pydantic's word."""

    loc: list[str | int]
    msg: str
    type: str


class FastApiFieldErrors(msgspec.Struct):
    """The 422: what is wrong with the body."""

    detail: list[FastApiFieldError]


def fastapi_error(error: RerankError, *, status: int, message: str | None = None) -> WireAnswer:
    """An error in that form; a wrong field is a 422 that names it.

    Args:
        error: what went wrong.
        status: the provider's status for it, where it is no wrong field.
        message: instead of the error's own.
    """
    said = message or error.message
    body: FastApiError | FastApiFieldErrors = FastApiError(said)
    if isinstance(error, InvalidRequest) and not isinstance(error, UnknownModel):
        status = 422
        loc = ["body", *_steps(param_of(error) or "")]
        body = FastApiFieldErrors([FastApiFieldError(loc, said, error.fault)])
    return WireAnswer(status=status, body=msgspec.json.encode(body), headers=error_headers(error))


def _steps(param: str) -> list[str | int]:
    """`documents[0].text` -> documents, 0, text."""
    return [
        int(step[1:-1]) if step.startswith("[") else step
        for step in re.findall(r"\[[0-9]+\]|[^.\[\]]+", param)
    ]
