"""The history of prices: added to, never changed; what the settings say is written into it."""

from __future__ import annotations

import pytest

from rerankd.accounts.price import ANY_MODEL, Price, PriceList, Terms
from rerankd.core.errors import InvalidRequest, StartError
from rerankd.store.bumped import last_change
from rerankd.store.database import Database
from rerankd.store.errors import Conflict
from rerankd.store.prices import LEAD_US, PriceRepo

NOW = 1_800_000_000_000_000


def price(paid: int, starts_us: int = 0, model: str = "m", upstream: str = "") -> Price:
    return Price(
        kind="cost" if upstream else "price",
        model=model,
        upstream=upstream,
        terms=Terms(per_request=paid, per_1m_image=paid % 2 or None),
        starts_us=starts_us,
    )


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def repo(database: Database, clock: Clock) -> PriceRepo:
    return PriceRepo(database, "USD", clock=clock)


def history(repo: PriceRepo) -> list[tuple[int, int]]:
    return sorted((found.starts_us, found.terms.per_request) for found in repo.all())


def test_a_price_starts_when_every_server_knows_it(repo: PriceRepo, database: Database) -> None:
    row = repo.add(price(1_500_000_000))
    assert (row.per_request, row.per_1m_image_tokens, row.currency) == ("1.5", None, "USD")
    assert history(repo) == [(NOW + LEAD_US, 1_500_000_000)]
    assert repo.add(price(3, NOW + 10 * LEAD_US)).per_1m_image_tokens == "0.000000001"
    with database.read() as connection:
        assert last_change(connection) == 2
    again = PriceList(repo.all()).price(("m",), NOW + 10 * LEAD_US)
    assert again is not None
    assert (again.terms, again.id) == (price(3).terms, 2)


def test_only_the_first_price_may_have_a_start_that_is_past(repo: PriceRepo) -> None:
    repo.add(price(1, NOW - 5))
    assert history(repo) == [(NOW + LEAD_US, 1)]
    for early in (1, NOW - 5, NOW, NOW + LEAD_US - 1):
        with pytest.raises(InvalidRequest, match=r"^from: "):
            repo.add(price(2, early))
    with pytest.raises(Conflict, match="starts at"):
        repo.add(price(2, NOW + LEAD_US))
    repo.add(price(2, NOW - 5, upstream="u"))  # another subject
    repo.add(price(2, NOW - 5, model=ANY_MODEL))


def test_pages_of_the_history(repo: PriceRepo) -> None:
    for n in range(5):
        repo.add(price(n, NOW + (2 + n) * LEAD_US))
    repo.add(price(9, upstream="u"))
    first = repo.list(limit=4)
    assert [row.id for row in first] == [1, 2, 3, 4]
    assert [row.id for row in repo.list(after=first[-1].id)] == [5, 6]
    assert [row.id for row in repo.list(kind="cost", model="m", upstream="u")] == [6]


def test_the_settings_are_adopted_once(repo: PriceRepo, clock: Clock) -> None:
    written = [
        ("price[0]", price(1, NOW - 2 * LEAD_US)),
        ("price[1]", price(2, NOW - LEAD_US)),  # of those that are past the last is in force
        ("price[2]", price(3, NOW + LEAD_US)),
        ("cost[0]", price(4, upstream="u")),
    ]
    for later in (0, LEAD_US // 2, LEAD_US, 10 * LEAD_US):
        clock.now = NOW + later
        repo.adopt(written)
        assert history(repo) == [(NOW, 2), (NOW, 4), (NOW + LEAD_US, 3)]
    written.append(("price[3]", price(5, clock.now + 1)))
    repo.adopt(written)
    assert history(repo)[-1] == (clock.now + 1, 5)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (price(9), r"price\[0\]: m has another price from .* `from` after"),
        (price(9, NOW - 5), "has another price"),
        (price(9, NOW + LEAD_US), "has another price"),
        (price(9, NOW + 2 * LEAD_US), "is past, and it is not in the store's history"),
    ],
)
def test_a_price_that_was_changed_in_the_settings_is_refused(
    repo: PriceRepo, clock: Clock, changed: Price, said: str
) -> None:
    before = [("price[0]", price(1)), ("price[1]", price(2, NOW + LEAD_US))]
    repo.adopt(before)
    clock.now = NOW + 3 * LEAD_US
    kept = [each for each in before if each[1].starts_us != changed.starts_us]
    with pytest.raises(StartError, match=said):
        repo.adopt([("price[0]", changed), *kept] if changed.starts_us else [("price[0]", changed)])
    assert history(repo) == [(NOW, 1), (NOW + LEAD_US, 2)]


def test_one_that_is_refused_leaves_nothing_of_the_others(repo: PriceRepo) -> None:
    repo.adopt([("price[0]", price(1))])
    with pytest.raises(StartError):
        repo.adopt([("price[0]", price(1, model="n")), ("price[1]", price(2))])
    assert history(repo) == [(NOW, 1)]


def test_a_store_stays_in_its_currency(repo: PriceRepo, database: Database) -> None:
    repo.adopt([("price[0]", price(1))])
    euro = PriceRepo(database, "EUR", clock=lambda: NOW)
    with pytest.raises(StartError, match=r"^\[store\] currency: .* in USD, not in EUR"):
        euro.adopt([])
    with pytest.raises(InvalidRequest, match=r"^currency: "):
        euro.add(price(2))
    repo.adopt([])
    assert history(repo) == [(NOW, 1)]


def test_what_a_running_server_reads_again_starts_when_it_is_known(
    repo: PriceRepo, clock: Clock
) -> None:
    repo.adopt([("price[0]", price(1))], lead_us=LEAD_US)
    assert history(repo) == [(NOW + LEAD_US, 1)]
    clock.now += 2 * LEAD_US
    soon = [("price[0]", price(1)), ("price[1]", price(2, clock.now + 1))]
    with pytest.raises(StartError, match=r"^price\[1\]: "):
        repo.adopt(soon, lead_us=LEAD_US)
    repo.adopt([soon[0], ("price[1]", price(2, clock.now + LEAD_US + 1))], lead_us=LEAD_US)
    assert len(history(repo)) == 2
