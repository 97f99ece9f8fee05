"""A bill of 10,000 random requests, recomputed by a script that imports nothing of rerankd."""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path
from random import Random

import pytest
import sqlalchemy as sa

from rerankd.accounts.account import Books
from rerankd.accounts.budget import EVERYBODY, Budgets
from rerankd.accounts.price import ANY_MODEL, Price, PriceList, Terms
from rerankd.core.money import NANO
from rerankd.store.database import Database
from rerankd.store.journal import Journal
from rerankd.store.prices import PriceRepo
from rerankd.store.rows import UsageRow
from rerankd.store.transfer import drain
from tests.store import recompute

START = 1_800_000_000_000_000
DAY = 86_400_000_000
MODELS = ("a", "b", "route", "dear", ANY_MODEL)
REQUESTS = 10_000


def terms(random: Random) -> Terms:
    """Of every magnitude, each part there or not."""

    def amount() -> int:
        return random.choice([0, random.randrange(10 ** random.randrange(1, 12))])

    return Terms(
        per_1m_input=amount(),
        per_1k_search=amount(),
        search_documents=random.choice([1, 10, 100]),
        per_1m_image=random.choice([None, amount()]),
        per_request=amount(),
        minimum=random.choice([0, 0, random.randrange(NANO)]),
    )


def requests(books: Books, random: Random) -> list[UsageRow]:
    """Requests as a server would serve and note them."""
    found: list[UsageRow] = []
    for n in range(REQUESTS):
        at_us = START + random.randrange(60 * DAY)
        asked, model = (
            random.choice(["a", "route", "x", "y"]),
            random.choice(["a", "b", "dear", "z"]),
        )
        status, degraded = random.choice([(200, "")] * 6 + [(200, "input-order"), (500, "")])
        stood_in = random.random() < 0.1
        account = books.open((EVERYBODY,), at_us)
        sizes = [random.randrange(1, 300) for _ in range(random.choice([1, 3]))]
        asyncio.run(account.begin(model if stood_in else asked, model, sizes))
        tokens = random.randrange(10 ** random.randrange(1, 7))
        images = random.randrange(tokens + 1) if random.random() < 0.3 else 0
        asyncio.run(account.hold(model, tokens, images))
        if degraded:
            account.settle_free(tokens)
        elif status == 200:
            account.settle(model, tokens, images)
        else:
            account.give_back()
        entry = account.entry()
        account.spend(n)
        found.append(
            UsageRow(
                request_id=str(n),
                at_us=at_us,
                done_us=at_us,
                status=status,
                degraded=degraded,
                model_asked=asked,
                model_answered=model,
                stood_in=int(stood_in),
                input_tokens=entry.input_tokens,
                image_tokens=entry.image_tokens,
                searches=entry.searches,
                tokens_from=entry.tokens_from,
                price_id=entry.price_id,
                charge_nano=entry.charge_nano,
            )
        )
    return found


@pytest.mark.timeout(600)
def test_a_bill_of_10000_requests_is_recomputed_to_the_last_unit(
    database: Database, tmp_path: Path
) -> None:
    random, now = Random(16), [0]
    repo = PriceRepo(database, "USD", clock=lambda: now[0])
    for model in MODELS:
        now[0] = START
        for _ in range(random.randrange(1, 6)):
            now[0] += random.randrange(1, 15 * DAY)
            repo.add(Price(model=model, terms=terms(random)))
    books = Books(Budgets(keep_us=0), prices=PriceList(repo.all()))
    journal = Journal(tmp_path / "journal", limit_bytes=1 << 30)
    made = requests(books, random)
    for row in made:
        journal.append(row)
    while any(drain(database, file) for file in journal.files):
        pass
    journal.close()
    with database.read() as connection:
        prices = connection.execute(sa.text(recompute.PRICES)).all()
        rows = connection.execute(sa.text(recompute.ROWS)).all()
    bill = recompute.bill(prices, rows)
    assert bill.rows == REQUESTS
    assert bill.differing == []
    assert bill.charged == bill.recomputed == sum(row.charge_nano for row in made) > NANO
    assert len({row.price_id for row in made}) > len(MODELS)
    # and it would see a unit too much
    one = next(row for row in rows if row.charge_nano)
    wrong = recompute.bill(prices, [(*one[:10], one.charge_nano + 1, one.price_id)])
    assert wrong.differing == [one.entry]


def test_the_script_is_independent() -> None:
    tree = ast.parse(Path(recompute.__file__).read_text("utf-8"))
    imported = {
        name
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert not any(name.startswith("rerankd") for name in imported)
