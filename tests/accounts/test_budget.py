"""Budgets: all or nothing, nothing leaks, windows that end meanwhile, the ledger's sums."""

from __future__ import annotations

from random import Random

import pytest

from rerankd.accounts.budget import (
    EVERYBODY,
    UNITS,
    Amounts,
    Budget,
    Budgets,
    Exceeded,
    Level,
    Owner,
    Ref,
    Reservation,
    Unit,
)
from rerankd.accounts.window import Window

KEY, TEAM = Owner("key", 7), Owner("team", 3)
OWNERS = (KEY, TEAM, EVERYBODY)
MINUTE = 60_000_000
FOREVER = 10**15


def budget(
    id: int, owner: Owner, amount: int, unit: Unit = "requests", window: Window = "total"
) -> Budget:
    return Budget(ref=Ref(id), owner=owner, unit=unit, amount=amount, window=window)


def budgets(*found: Budget, keep_us: int = 5 * MINUTE) -> Budgets:
    made = Budgets(keep_us=keep_us)
    made.use(found)
    return made


def left(made: Budgets, owner: Owner = KEY, at_us: int = 0) -> list[int]:
    return [state.left for _, state in made.states(owner, at_us)]


def test_key_team_and_all_are_each_asked_and_hold_all_or_nothing() -> None:
    made = budgets(budget(1, KEY, 5), budget(2, TEAM, 3), budget(3, EVERYBODY, 9))
    first = made.reserve(OWNERS, 0)
    first.change(Amounts(requests=3))
    assert [left(made, owner) for owner in OWNERS] == [[2], [0], [6]]
    second = made.reserve(OWNERS, 0)
    with pytest.raises(Exceeded) as refused:
        second.change(Amounts(requests=1))
    assert refused.value.budget.owner == TEAM
    assert (refused.value.state.reserved, refused.value.needed) == (3, 1)
    assert [left(made, owner) for owner in OWNERS] == [[2], [0], [6]]
    first.give_back()
    first.give_back()
    assert [left(made, owner) for owner in OWNERS] == [[5], [3], [9]]
    second.change(Amounts(requests=3))
    second.spend(1)
    assert [left(made, owner) for owner in OWNERS] == [[2], [0], [6]]
    second.give_back()
    assert [left(made, owner) for owner in OWNERS] == [[2], [0], [6]]


def test_the_last_unit_is_not_refused_and_one_more_is() -> None:
    made = budgets(budget(1, KEY, 10, "money"))
    held = made.reserve([KEY], 0)
    held.change(Amounts(money=10))
    held.change(Amounts(money=4))  # less, as one sum with what was held
    held.change(Amounts(money=10))
    with pytest.raises(Exceeded):
        held.change(Amounts(money=11))
    assert held.amounts.money == 10


def test_what_costs_nothing_is_never_refused() -> None:
    made = budgets(budget(1, KEY, 0, "money"), budget(2, KEY, 0, "tokens"))
    made.reserve([KEY], 0).change(Amounts(requests=1))
    with pytest.raises(Exceeded):
        made.reserve([KEY], 0).change(Amounts(requests=1), more=("tokens",))


def test_settling_is_never_refused_and_may_leave_a_debt() -> None:
    made = budgets(budget(1, KEY, 10, "tokens"))
    held = made.reserve([KEY], 0)
    held.change(Amounts(tokens=8))
    held.settle(Amounts(tokens=12))
    held.spend(1)
    assert left(made) == [-2]
    with pytest.raises(Exceeded):
        made.reserve([KEY], 0).change(Amounts(tokens=1))


def test_of_two_that_refuse_the_one_is_told_that_lasts_longer() -> None:
    made = budgets(
        budget(1, KEY, 0, window="minute"),
        budget(2, TEAM, 0, window="month"),
        budget(3, EVERYBODY, 9),
    )
    with pytest.raises(Exceeded) as refused:
        made.reserve(OWNERS, 0).change(Amounts(requests=1))
    assert refused.value.budget.window == "month"


def test_a_request_counts_in_the_window_that_it_came_in() -> None:
    made = budgets(budget(1, KEY, 2, window="minute"))
    old = made.reserve([KEY], MINUTE - 1)
    old.change(Amounts(requests=2))
    new = made.reserve([KEY], MINUTE)  # the next window begins, empty
    new.change(Amounts(requests=1))
    assert (left(made, at_us=MINUTE - 1), left(made, at_us=MINUTE)) == ([0], [1])
    old.spend(1)
    assert (left(made, at_us=MINUTE - 1), left(made, at_us=MINUTE)) == ([0], [1])
    late = made.reserve([KEY], MINUTE - 1)  # came before, counted after
    with pytest.raises(Exceeded):
        late.change(Amounts(requests=1))


def test_windows_that_are_over_are_forgotten_but_not_while_something_is_held() -> None:
    made = budgets(budget(1, KEY, 10, window="minute"), keep_us=3 * MINUTE)
    held = made.reserve([KEY], 0)
    held.change(Amounts(requests=4))
    for minute in range(1, 1000):
        once = made.reserve([KEY], minute * MINUTE)
        once.change(Amounts(requests=1))
        once.spend(minute)
    assert made.windows == 5  # 0, and 996 to 999
    held.spend(1000)
    assert left(made, at_us=0) == [6]


def test_a_budget_that_changes_its_amount_keeps_what_was_counted() -> None:
    made = budgets(budget(1, KEY, 10))
    held = made.reserve([KEY], 0)
    held.change(Amounts(requests=4))
    assert made.use([budget(1, KEY, 12), budget(2, KEY, 3)]) == (budget(2, KEY, 3),)
    assert left(made) == [8, 3]  # a budget that is new knows nothing of before
    held.spend(5)
    assert left(made) == [8, -1]
    assert made.use([budget(1, KEY, 12, "tokens")]) == (budget(1, KEY, 12, "tokens"),)
    assert left(made) == [12]


def test_the_sums_of_the_ledger_and_what_it_has_not_read_yet_are_counted_once() -> None:
    made = budgets(budget(1, KEY, 100, window="minute"))
    for line, at_us in enumerate((0, 1, MINUTE, MINUTE + 1), 1):
        held = made.reserve([KEY], at_us)
        held.change(Amounts(requests=1))
        held.spend(line)
    made.use([budget(1, KEY, 100, window="minute"), budget(2, KEY, 100)])
    # of the minute the ledger has another process' 5 and line 3; of all, 9 and lines 1 to 3
    made.recount({Ref(1): (MINUTE, 6), Ref(2): (0, 12)}, 3)
    assert left(made, at_us=MINUTE) == [93, 87]
    made.recount({Ref(1): (MINUTE, 7), Ref(2): (0, 13)}, 4)
    assert left(made, at_us=MINUTE) == [93, 87]
    assert made.undrained == 0


def test_a_line_that_a_recount_has_seen_is_not_counted_again() -> None:
    made = budgets(budget(1, KEY, 100))
    held = made.reserve([KEY], 0)
    held.change(Amounts(requests=1))
    made.recount({Ref(1): (0, 5)}, 10)  # its line 10 is in the sums already
    held.spend(10)
    assert left(made) == [95]
    held = made.reserve([KEY], 0)
    held.change(Amounts(requests=1))
    held.spend(11)
    assert left(made) == [94]


def test_who_wants_to_know_is_told_once_at_80_and_at_100_percent() -> None:
    told: list[Level] = []
    made = Budgets(keep_us=0)
    made.tell = told.append
    made.use([budget(1, KEY, 10, window="minute")])
    for line in range(20):
        held = made.reserve([KEY], line // 12 * MINUTE)
        held.settle(Amounts(requests=1))
        held.spend(line)
    assert [(level.percent, level.state.span.start_us, level.state.spent) for level in told] == [
        (80, 0, 8),
        (100, 0, 10),
        (80, MINUTE, 8),
    ]


MIXED: tuple[tuple[Unit, Window], ...] = (
    *(("requests", "minute"), ("tokens", "minute"), ("searches", "total"), ("money", "hour")),
)


def fits(made: Budgets, held: Reservation, wanted: Amounts) -> bool:
    """Whether each budget has room, said another way."""
    return all(
        not wanted[UNITS.index(each.unit)]
        or wanted[UNITS.index(each.unit)] <= state.left + held.amounts[UNITS.index(each.unit)]
        for owner in OWNERS
        for each, state in made.states(owner, held.at_us)
    )


@pytest.mark.parametrize("seed", range(20))
def test_nothing_leaks_and_nothing_is_let_through(seed: int) -> None:
    random = Random(seed)
    made = budgets(
        *(
            budget(n, random.choice(OWNERS), random.randrange(1, 60), unit, window)
            for n, (unit, window) in enumerate(MIXED * 2)
        )
    )
    running = [made.reserve(OWNERS, 0) for _ in range(8)]
    spent: list[tuple[int, Amounts]] = []
    for line in range(400):
        at_us, place, what = line * MINUTE // 60, random.randrange(8), random.random()
        held = running[place]
        if what < 0.6:
            wanted, before = Amounts(1, *(random.randrange(12) for _ in range(3))), held.amounts
            room = fits(made, held, wanted)
            try:
                held.change(wanted)
            except Exceeded:
                assert held.amounts == before
            assert (held.amounts == wanted) == (room or before == wanted)
        else:
            if what < 0.8:
                spent.append((held.at_us, held.amounts))
                held.spend(line)
            held.give_back()
            running[place] = made.reserve(OWNERS, at_us)
        assert all(state.left >= 0 for owner in OWNERS for _, state in made.states(owner, at_us))
    for held in running:
        held.give_back()
    for owner in OWNERS:
        for each, state in made.states(owner, 399 * MINUTE // 60):
            place = UNITS.index(each.unit)
            assert state.reserved == 0
            assert state.spent == sum(a[place] for at, a in spent if state.span.has(at))
