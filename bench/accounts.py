"""CPU that accounting adds to a request: `uv run --no-sync python bench/accounts.py`.

Opens an account with a price and budgets of key, team and all, reserves, settles, writes the line
of the journal and spends; microseconds of CPU per request, median of rounds, each step alone too.
"""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from rerankd.accounts.account import Account, Books
from rerankd.accounts.budget import EVERYBODY, UNITS, Budget, Budgets, Owner, Ref
from rerankd.accounts.price import Price, PriceList, Terms
from rerankd.store.journal import Journal
from rerankd.store.rows import UsageRow

OWNERS = (Owner("key", 1), Owner("team", 1), EVERYBODY)
ROUNDS, REQUESTS = 15, 2000


def books() -> Books:
    """Three owners, each with four budgets by the month."""
    budgets = Budgets(keep_us=3_600_000_000)
    budgets.use(
        Budget(
            ref=Ref(1 + 4 * i + j),
            owner=owner,
            unit=unit,
            amount=10**17,
            window="month",
            tz="Europe/Berlin",
        )
        for i, owner in enumerate(OWNERS)
        for j, unit in enumerate(UNITS)
    )
    terms = Terms(per_1m_input=100_000_000, per_1k_search=2_000_000_000, minimum=5)
    return Books(budgets, prices=PriceList([Price(model="m", terms=terms, id=1)]))


def done(step: Coroutine[Any, Any, None]) -> None:
    """A step that waits for nobody: budgets are counted in memory."""
    with contextlib.suppress(StopIteration):
        step.send(None)


def held(found: Books) -> Account:
    """Reserved and settled."""
    account = found.open(OWNERS, time.time_ns() // 1000)
    done(account.begin("m", "m", [50]))
    done(account.hold("m", 6_400))
    account.settle("m", 6_400)
    return account


def row(account: Account) -> UsageRow:
    """A line of the journal."""
    entry = account.entry()
    return UsageRow(
        request_id="rerank-20261128-747fad347f071fde524da554",
        at_us=account.at_us,
        done_us=account.at_us,
        status=200,
        key_id=1,
        key_name="search",
        input_tokens=entry.input_tokens,
        searches=entry.searches,
        tokens_from=entry.tokens_from,
        price_id=entry.price_id,
        charge_nano=entry.charge_nano,
    )


def cpu_us(work: Callable[[], object]) -> str:
    """Median CPU of one call."""
    found: list[float] = []
    for _ in range(ROUNDS):
        started = time.process_time_ns()
        for _ in range(REQUESTS):
            work()
        found.append((time.process_time_ns() - started) / 1000 / REQUESTS)
    return f"{statistics.median(found):6.1f} us ({min(found):.1f} to {max(found):.1f})"


def main() -> None:
    """Print a table."""
    with tempfile.TemporaryDirectory() as folder:
        found, journal = books(), Journal(Path(folder), limit_bytes=1 << 40)
        line = journal.append(row(held(found)))

        def whole() -> None:
            account = held(found)
            account.spend(journal.append(row(account)))

        sample = row(held(found))
        print("account held and settled, 12 budgets", cpu_us(lambda: held(found).give_back()))
        print("line written to the journal        ", cpu_us(lambda: journal.append(sample)))
        print("spent                              ", cpu_us(lambda: held(found).spend(line)))
        print("all of it                          ", cpu_us(whole))
        journal.close()


if __name__ == "__main__":
    main()
