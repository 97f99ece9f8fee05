"""Recomputes a bill from the rows of the ledger and the history of prices, and nothing of rerankd.

    python tests/store/recompute.py /var/lib/rerankd/rerankd.db

Every charge anew, as exact fractions, by the price that the history has for its time; prints the
sum of both and how many rows differ; status 1 when any does.
"""

from __future__ import annotations

import sqlite3
import sys
from collections import defaultdict
from collections.abc import Iterable
from fractions import Fraction
from typing import Any, NamedTuple

PRICES = (
    "select kind, upstream, model, starts_us, per_1m_input_nano, per_1k_search_nano, "
    "per_1m_image_nano, per_request_nano, minimum_nano, id from price"
)
ROWS = (
    "select entry, at_us, status, degraded, stood_in, model_asked, model_answered, "
    'input_tokens, image_tokens, searches, charge_nano, price_id from "usage"'
)


class Bill(NamedTuple):
    """What was charged, what should have been, and the rows that differ."""

    charged: int
    recomputed: int
    rows: int
    differing: list[str]


def bill(prices: Iterable[Any], rows: Iterable[Any]) -> Bill:
    """A bill of the results of PRICES and ROWS."""
    history: defaultdict[str, list[Any]] = defaultdict(list)
    for price in prices:
        if price[0] == "price":
            history[price[2]].append(price)
    charged = recomputed = count = 0
    differing: list[str] = []
    for row in rows:
        entry, at_us, status, degraded, stood_in, asked, answered, *more = row
        tokens, images, searches, paid, used = more
        price = None
        if 200 <= status < 300 and not degraded:
            names = (answered, "*") if stood_in else (asked, answered, "*")
            price = in_force(history, names, at_us)
        wanted = 0 if price is None else cost(price, tokens, images, searches)
        if (wanted, None if price is None else price[9]) != (paid, used):
            differing.append(entry)
        charged, recomputed, count = charged + paid, recomputed + wanted, count + 1
    return Bill(charged, recomputed, count, differing)


def in_force(history: dict[str, list[Any]], names: Iterable[str], at_us: int) -> Any:
    """The latest price that has started, of the first name that has one."""
    for name in names:
        started = [price for price in history.get(name, ()) if price[3] <= at_us]
        if started:
            return max(started, key=lambda price: price[3])
    return None


def cost(price: Any, tokens: int, images: int, searches: int) -> int:
    """The sum as a fraction, rounded half up, at least the minimum."""
    per_token, per_search = Fraction(price[4], 10**6), Fraction(price[5], 1000)
    per_image = per_token if price[6] is None else Fraction(price[6], 10**6)
    exact = (tokens - images) * per_token + images * per_image + searches * per_search + price[7]
    rounded = (exact + Fraction(1, 2)).numerator // (exact + Fraction(1, 2)).denominator
    return max(rounded, price[8])


if __name__ == "__main__":
    with sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True) as opened:
        found = bill(opened.execute(PRICES), opened.execute(ROWS))
    print(  # noqa: T201 - a script
        f"{found.rows} rows: charged {found.charged}, recomputed {found.recomputed} (10^-9); "
        f"{len(found.differing)} differ."
    )
    sys.exit(bool(found.differing))
