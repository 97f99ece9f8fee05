"""OpenAI's form of an error, which several share: `error` with message, type, param and code.

Source: platform.openai.com/docs/guides/error-codes; the providers' own pages name their types.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from rerankd.core.errors import RerankError
from rerankd.dialects.failures import error_headers, param_of
from rerankd.dialects.wire import WireAnswer


class OpenAiErrorDetail(msgspec.Struct):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: int | str | None


class OpenAiError(msgspec.Struct):
    """What went wrong."""

    error: OpenAiErrorDetail


def openai_error(
    error: RerankError,
    *,
    status: int,
    kinds: Mapping[int, str],
    code: int | str | None,
    message: str | None = None,
) -> WireAnswer:
    """An error in that form.

    Args:
        error: what went wrong.
        status: the provider's status for it.
        kinds: status -> `type`; what is missing is rerankd's own word.
        code: the provider's.
        message: instead of the error's own.
    """
    kind = kinds.get(status, error.kind)
    detail = OpenAiErrorDetail(message or error.message, kind, param_of(error), code)
    return WireAnswer(
        status=status,
        body=msgspec.json.encode(OpenAiError(detail)),
        headers=error_headers(error),
    )
