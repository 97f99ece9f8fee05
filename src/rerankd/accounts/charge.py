"""What a request costs: an exact sum, rounded once, half up, to whole 10^-9; then the minimum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rerankd.accounts.price import Terms

_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class PricedUsage:
    """What is paid for; image tokens are among the input tokens."""

    input_tokens: int = 0
    searches: int = 0
    image_tokens: int = 0


def searches(documents: Sequence[int], terms: Terms | None) -> int:
    """Search units of a body: each query begins its own; documents: of each query."""
    each = 100 if terms is None else terms.search_documents
    return sum(-(-count // each) for count in documents)


def charge(terms: Terms, usage: PricedUsage) -> int:
    """What one request costs, in nano."""
    text, image = usage.input_tokens, 0
    if terms.per_1m_image is not None:
        text, image = text - usage.image_tokens, usage.image_tokens
    millionths = (
        text * terms.per_1m_input
        + image * (terms.per_1m_image or 0)
        + usage.searches * terms.per_1k_search * 1000
        + terms.per_request * _MILLION
    )
    return max((millionths + _MILLION // 2) // _MILLION, terms.minimum)
