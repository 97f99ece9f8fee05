"""How a charge came about: tokens times price, line by line, exact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

_MILLION: Final = Decimal(1_000_000)
_NANO: Final = Decimal("0.000000001")


@dataclass(frozen=True, slots=True)
class ChargeLine:
    """So many of something at a price each."""

    count: int
    what: str
    price: str  # decimal text
    per: str
    amount: str  # decimal text, not rounded


@dataclass(frozen=True, slots=True)
class Charged:
    """The lines of a charge."""

    lines: list[ChargeLine]
    total: str  # of the lines, rounded to whole nano
    minimum: str | None  # that was charged instead
    is_charge: bool  # whether that is what the ledger has


def lines_of(record: Mapping[str, Any]) -> Charged | None:
    """Of a request as the API shows it; None = it has no price."""
    price = record["price"]
    if price is None:
        return None
    tokens, images = record["input_tokens"] or 0, 0
    image_price = price["per_1m_image_tokens"]
    if image_price is not None:
        tokens, images = tokens - record["image_tokens"], record["image_tokens"]
    asked = [
        (tokens, "input tokens", price["per_1m_input_tokens"], "1 M", _MILLION),
        (images, "image tokens", image_price or "0", "1 M", _MILLION),
        (record["searches"], "searches", price["per_1k_searches"], "1 000", Decimal(1000)),
        (1, "request", price["per_request"], "request", Decimal(1)),
    ]
    found, total = list[ChargeLine](), Decimal(0)
    for count, what, each, per, unit in asked:
        if count and Decimal(each):
            amount = count * Decimal(each) / unit
            total += amount
            found.append(ChargeLine(count, what, each, per, _text(amount)))
    total = total.quantize(_NANO, ROUND_HALF_UP)
    least = Decimal(price["minimum"])
    is_least = total < least
    due = least if is_least else total
    return Charged(
        lines=found,
        total=_text(total),
        minimum=price["minimum"] if is_least else None,
        is_charge=due == Decimal(record["charge"]),
    )


def _text(amount: Decimal) -> str:
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
