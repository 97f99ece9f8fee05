"""Budgets in memory: what is spent and reserved in each one's window, all or nothing. Pure.

    left = amount - spent - reserved

A request counts in the window of its own time, also when that is over before the request is: so
memory and the sums of the ledger agree. What is reserved is nowhere else: a crash leaks nothing.
What is spent stands in the ledger's journal first; `recount` takes the ledger's sums over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, get_args

from rerankd.accounts.window import Span, Window, span

Unit = Literal["requests", "tokens", "searches", "money"]
UNITS: Final[tuple[Unit, ...]] = get_args(Unit)
ALERTS: Final = (80, 100)  # percent of an amount that are told


class Amounts(NamedTuple):
    """What a request takes in each unit, in the order of UNITS; money in nano."""

    requests: int = 0
    tokens: int = 0
    searches: int = 0
    money: int = 0


_TRIM: Final = 64  # requests, after which those are forgotten that the ledger has
NONE: Final = Amounts()


class Owner(NamedTuple):
    """Who spends: a key, a team, or everybody together."""

    kind: Literal["key", "team", "all"]
    id: int = 0


EVERYBODY: Final = Owner("all")


class Ref(NamedTuple):
    """What a budget is found by: the store's id, or whose prepaid balance it is."""

    id: int = 0
    prepaid: Owner | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """So much of a unit in each window; of a prepaid balance, the sum of its top-ups for ever."""

    ref: Ref
    owner: Owner
    unit: Unit
    amount: int
    window: Window
    tz: str = "UTC"

    @property
    def is_prepaid(self) -> bool:
        """Whether it is a balance that top-ups fill."""
        return self.ref.prepaid is not None


class BudgetState(NamedTuple):
    """A budget in one window."""

    span: Span
    amount: int
    spent: int
    reserved: int

    @property
    def left(self) -> int:
        """What may still be reserved; below zero: a debt."""
        return self.amount - self.spent - self.reserved


class Exceeded(Exception):
    """A budget has no room for a request; its state is without what that request holds."""

    def __init__(self, budget: Budget, state: BudgetState, needed: int) -> None:
        super().__init__(budget.ref)
        self.budget = budget
        self.state = state
        self.needed = needed


class Level(NamedTuple):
    """A budget that has just been spent to so many percent."""

    budget: Budget
    state: BudgetState
    percent: int


class Spending(NamedTuple):
    """One request whose line is in the journal."""

    line: int  # place of its line: grows
    owners: tuple[Owner, ...]
    at_us: int
    amounts: Amounts


@dataclass(slots=True)
class WindowCount:
    """What one window of a budget holds."""

    span: Span
    spent: int = 0
    reserved: int = 0


@dataclass(slots=True)
class BudgetMeter:
    """A budget and the windows of it that a request may still fall in."""

    budget: Budget
    place: int  # of its unit in Amounts
    counts: dict[int, WindowCount] = field(default_factory=dict[int, WindowCount])
    newest: WindowCount | None = None
    line: int = -1  # the last one of the journal that was recounted

    def count(self, at_us: int, keep_us: int) -> WindowCount:
        """The window of a moment; those that no request can be in any more are forgotten."""
        newest = self.newest
        if newest is not None and newest.span.has(at_us):
            return newest
        found = span(self.budget.window, at_us, self.budget.tz)
        count = self.counts.setdefault(found.start_us, WindowCount(found))
        if newest is None or found.start_us > newest.span.start_us:
            self.newest = count
            self.counts = {
                start: kept
                for start, kept in self.counts.items()
                if kept.reserved or kept.span.end_us is None or kept.span.end_us > at_us - keep_us
            }
        return count

    def state(self, count: WindowCount) -> BudgetState:
        """It in one of its windows."""
        return BudgetState(count.span, self.budget.amount, count.spent, count.reserved)


class Budgets:
    """All budgets of a server."""

    def __init__(self, *, keep_us: int) -> None:
        """None yet.

        Args:
            keep_us: how long after a window's end a request of it may still begin to count.
        """
        self._keep_us = keep_us
        self.tell: Callable[[Level], None] = lambda _: None  # of one that is spent to ALERTS
        self._meters: dict[Owner, tuple[BudgetMeter, ...]] = {}
        self._undrained: deque[Spending] = deque()
        self.backlog: Callable[[], int] = lambda: 0  # of the journal, behind what the ledger has
        self.is_pinned = False  # the ledger is being read for a recount: forget no line

    def __iter__(self) -> Iterator[Budget]:
        return (meter.budget for meter in self.meters())

    def use(self, budgets: Iterable[Budget]) -> tuple[Budget, ...]:
        """Take over other budgets; one that stays keeps its counts, also with another amount.

        Returns:
            those that are new, or count something else: they know of nothing that was spent before
            this call until `recount`.
        """
        known = {_counted(meter.budget): meter for meter in self.meters()}
        meters: dict[Owner, list[BudgetMeter]] = {}
        new: list[Budget] = []
        for budget in budgets:
            meter = known.get(_counted(budget))
            if meter is None:
                meter = BudgetMeter(budget, UNITS.index(budget.unit))
                new.append(budget)
            meter.budget = budget
            meters.setdefault(budget.owner, []).append(meter)
        self._meters = {owner: tuple(found) for owner, found in meters.items()}
        return tuple(new)

    def recount(self, sums: Mapping[Ref, tuple[int, int]], line: int) -> None:
        """Take the ledger's sums over, and add what the ledger has not read yet.

        Args:
            sums: start of a window and what is spent in it, by budget.
            line: the last line of this process' journal that is in the sums.
        """
        self.drained(line)
        for meter in self.meters():
            if (found := sums.get(meter.budget.ref)) is None:
                continue
            count = meter.count(found[0], self._keep_us)
            meter.line = line
            count.spent = found[1] + sum(
                each.amounts[meter.place]
                for each in self._undrained
                if meter.budget.owner in each.owners and count.span.has(each.at_us)
            )

    def drained(self, line: int) -> None:
        """Forget which requests made the lines up to this one: the ledger has them."""
        while self._undrained and self._undrained[0].line <= line:
            self._undrained.popleft()

    def states(self, owner: Owner, at_us: int) -> list[tuple[Budget, BudgetState]]:
        """The budgets of an owner in the windows of a moment."""
        return [
            (meter.budget, meter.state(meter.count(at_us, self._keep_us)))
            for meter in self._meters.get(owner, ())
        ]

    def reserve(self, owners: Sequence[Owner], at_us: int) -> Reservation:
        """A reservation of nothing yet, in all budgets of the owners."""
        held = tuple(
            (meter, meter.count(at_us, self._keep_us))
            for owner in owners
            for meter in self._meters.get(owner, ())
        )
        return Reservation(self, tuple(owners), at_us, held)

    def spend(self, spending: Spending) -> None:
        """Count a request whose line is in the journal, in the budgets that there are now."""
        self._undrained.append(spending)
        if len(self._undrained) % _TRIM == 0 and not self.is_pinned:
            self.drained(spending.line - self.backlog())
        for owner in spending.owners:
            for meter in self._meters.get(owner, ()):
                if spending.line <= meter.line:  # a recount came between the line and this
                    continue
                count = meter.count(spending.at_us, self._keep_us)
                before, amount = count.spent, meter.budget.amount
                count.spent += spending.amounts[meter.place]
                for percent in ALERTS:
                    if before * 100 < amount * percent <= count.spent * 100:
                        self.tell(Level(meter.budget, meter.state(count), percent))

    @property
    def windows(self) -> int:
        """How many are held in memory."""
        return sum(len(meter.counts) for meter in self.meters())

    @property
    def undrained(self) -> int:
        """How many requests are held in memory that the ledger may not have yet."""
        return len(self._undrained)

    def meters(self) -> Iterator[BudgetMeter]:
        """Of all budgets."""
        return (meter for meters in self._meters.values() for meter in meters)


class Reservation:
    """What one request holds of all budgets that it falls under."""

    def __init__(
        self,
        budgets: Budgets,
        owners: tuple[Owner, ...],
        at_us: int,
        held: tuple[tuple[BudgetMeter, WindowCount], ...],
    ) -> None:
        self._budgets = budgets
        self.held = held
        self.owners = owners
        self.at_us = at_us
        self.amounts = NONE

    async def hold(self, amounts: Amounts, *, more: Sequence[Unit] = ()) -> None:
        """As `change`; where servers share the counts, all of them are asked. Raises Exceeded."""
        self.change(amounts, more=more)

    def parts(self) -> tuple[tuple[str, int, int], ...]:
        """What the line in the journal says of budgets that servers share: of none."""
        return ()

    def change(self, amounts: Amounts, *, more: Iterable[Unit] = ()) -> None:
        """Hold these amounts instead, in all budgets or, when one has no room, in none.

        Args:
            amounts: what the request needs, as far as that is known.
            more: units of which it will need more than that: something must be left.

        Raises:
            Exceeded: by that budget of those without room whose window ends last; what was held is
                held still.
        """
        open_ended = {UNITS.index(unit) for unit in more}
        refused: list[Exceeded] = []
        for meter, count in self.held:
            place = meter.place
            state = meter.state(count)
            state = state._replace(reserved=state.reserved - self.amounts[place])
            needed = amounts[place] + (place in open_ended)
            if needed and needed > state.left:
                refused.append(Exceeded(meter.budget, state, needed))
        if refused:
            raise max(refused, key=_ends)
        self.settle(amounts)

    def settle(self, amounts: Amounts) -> None:
        """Hold what the request took in the end; never refused: it is done."""
        for meter, count in self.held:
            count.reserved += amounts[meter.place] - self.amounts[meter.place]
        self.amounts = amounts

    def spend(self, line: int) -> None:
        """What is held is spent: its line is in the journal."""
        spending = Spending(line, self.owners, self.at_us, self.amounts)
        self.give_back()
        self._budgets.spend(spending)

    def give_back(self) -> None:
        """Hold nothing."""
        self.settle(NONE)

    def least_left(self, unit: Unit) -> int | None:
        """What is left of a unit where least of it is; None: no budget is in it."""
        place = UNITS.index(unit)
        states = (meter.state(count) for meter, count in self.held if meter.place == place)
        return min((state.left for state in states), default=None)


def _counted(budget: Budget) -> tuple[object, ...]:
    """What a budget counts: its amount may change meanwhile."""
    return budget.ref, budget.owner, budget.unit, budget.window, budget.tz


def _ends(exceeded: Exceeded) -> float:
    end_us = exceeded.state.span.end_us
    return float("inf") if end_us is None else float(end_us)
