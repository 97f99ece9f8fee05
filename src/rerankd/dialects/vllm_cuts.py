"""vLLM's fields that cut queries and whole rows, which LiteLLM's proxy passes on.

`max_tokens_per_query` cuts the query; `truncate_prompt_tokens` cuts query and document combined
(vllm 0.33.0, entrypoints/pooling/scoring/protocol.py). Here rows are cut to the window only.
"""

from __future__ import annotations

from typing import Final, Literal, Protocol

from rerankd.core.request import RerankRequest
from rerankd.dialects import fields

_WINDOW: Final = -1  # of truncate_prompt_tokens: the model's own


class Cuts(Protocol):
    """The fields that cut whole rows."""

    truncate_prompt_tokens: int | None
    truncation_side: Literal["left", "right"] | None


def refuse(body: Cuts) -> None:
    """What would be cut otherwise than here is a 400. Raises InvalidRequest."""
    fields.refuse(
        body.truncation_side == "left",
        "truncation_side",
        "only the end of a text is cut here. Leave it out.",
    )
    fields.refuse(
        body.truncate_prompt_tokens not in (None, _WINDOW),
        "truncate_prompt_tokens",
        "a row of query and document is not cut as one here. Send max_tokens_per_query and "
        "max_tokens_per_doc, or -1 for the model's window.",
    )


def cuts_query(body: Cuts) -> bool:
    """Whether a query is cut to what the model takes: -1 means its window, for the whole row."""
    return body.truncate_prompt_tokens == _WINDOW


def cut_to_window(request: RerankRequest) -> int | None:
    """`truncate_prompt_tokens` for a query that may be cut."""
    return _WINDOW if request.truncate_query else None
