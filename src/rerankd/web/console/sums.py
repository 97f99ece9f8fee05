"""Sums of usage as pages add them up: exact money, margin = charge - cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal, get_args

from rerankd.web.console.render import money, number

Measure = Literal["charge", "cost", "margin", "requests", "documents", "tokens"]
MEASURES: Final[tuple[Measure, ...]] = get_args(Measure)
_MUCH: Final = 100
MONEY: Final = ("charge", "cost", "margin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """What some requests add up to."""

    requests: int = 0
    documents: int = 0
    tokens: int = 0
    charge: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)

    def __add__(self, other: Sum) -> Sum:
        return Sum(
            requests=self.requests + other.requests,
            documents=self.documents + other.documents,
            tokens=self.tokens + other.tokens,
            charge=self.charge + other.charge,
            cost=self.cost + other.cost,
        )

    @property
    def margin(self) -> Decimal:
        """What is left of the charge."""
        return self.charge - self.cost

    def number(self, measure: Measure) -> float:
        """For a chart."""
        return float(getattr(self, measure))

    def said(self, measure: Measure, places: int) -> str:
        """To read; money with so many digits behind the point."""
        value = getattr(self, measure)
        return money(f"{value:.{places}f}") if measure in MONEY else number(value)

    @property
    def places(self) -> int:
        """Digits that amounts of this size are read with; the export has them all."""
        largest = max(abs(self.charge), abs(self.cost))
        return 2 if largest >= _MUCH else 4 if largest >= 1 else 6


def sum_of(result: Mapping[str, Any]) -> Sum:
    """Of a result as the API answers it; of one's own usage there is no cost."""
    return Sum(
        requests=result["num_model_requests"],
        documents=result["documents"],
        tokens=result["input_tokens"],
        charge=Decimal(result["charge"]),
        cost=Decimal(result.get("cost", 0)),
    )


def added(
    results: Iterable[Mapping[str, Any]], name_of: Callable[[Mapping[str, Any]], str]
) -> dict[str, Sum]:
    """Results by the name that each goes by."""
    found: dict[str, Sum] = {}
    for result in results:
        name = name_of(result)
        found[name] = found.get(name, Sum()) + sum_of(result)
    return found


def totals(cells: Sequence[Mapping[str, Sum]]) -> dict[str, Sum]:
    """Over all buckets, by name."""
    found: dict[str, Sum] = {}
    for cell in cells:
        for name, each in cell.items():
            found[name] = found.get(name, Sum()) + each
    return found


def shown(value: float, measure: Measure, currency: str) -> str:
    """A value of a chart to read."""
    return money(f"{Decimal(f'{value:.6g}'):f}", currency) if measure in MONEY else number(value)
