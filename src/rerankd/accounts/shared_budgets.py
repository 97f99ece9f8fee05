"""Budgets whose counts several servers share: a reservation waits for a step on them. Pure.

    left = amount - spent - reserved, of all servers together

What is spent stands in the ledger, or in the journal of a server that told of it; what is reserved
is a server's own until it is spent, and free again when the server is gone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from rerankd.accounts.budget import (
    ALERTS,
    NONE,
    Amounts,
    Budget,
    BudgetMeter,
    Budgets,
    Exceeded,
    Level,
    Owner,
    Ref,
    Reservation,
    Unit,
    WindowCount,
)


class BudgetSpot(NamedTuple):
    """A budget in one window, as the store knows it."""

    ref: str
    start_us: int


class HeldPart(NamedTuple):
    """What a request took of a budget, as its line in the journal says it."""

    ref: str
    start_us: int
    amount: int


class BudgetStanding(NamedTuple):
    """What is taken of a budget in a window, of all servers together."""

    spent: int
    reserved: int


Held = tuple[tuple[BudgetMeter, WindowCount], ...]


@dataclass(slots=True, eq=False)
class Holding:
    """What one request holds, as the last step that was done left it."""

    held: Held
    amounts: Amounts = NONE


@dataclass(slots=True, eq=False)
class Hold:
    """Hold these amounts instead, in all budgets or in none; as `Reservation.change`."""

    holding: Holding
    amounts: Amounts
    more: tuple[Unit, ...] = ()


@dataclass(slots=True, eq=False)
class Adjust:
    """Hold what it took in the end; never refused."""

    holding: Holding
    amounts: Amounts


@dataclass(slots=True, eq=False)
class Spend:
    """What is held is spent: its line is in the journal."""

    holding: Holding


BudgetStep = Hold | Adjust | Spend


@dataclass(slots=True)
class BudgetsTaken:
    """What steps change: by a budget and window, of what this server reserves and has spent."""

    reserved: dict[BudgetSpot, int] = field(default_factory=dict[BudgetSpot, int])
    spent: dict[BudgetSpot, int] = field(default_factory=dict[BudgetSpot, int])
    amounts: dict[Holding, Amounts] = field(default_factory=dict[Holding, Amounts])
    refused: list[Exceeded | None] = field(default_factory=list[Exceeded | None])  # of each step
    levels: list[Level] = field(default_factory=list[Level])  # that were passed

    def held(self, holding: Holding) -> Amounts:
        """What a request holds by now."""
        return self.amounts.get(holding, holding.amounts)

    def hold(self, holding: Holding, amounts: Amounts) -> None:
        """It holds other amounts."""
        before = self.held(holding)
        for meter, count in holding.held:
            spot = spot_of(meter.budget.ref, count.span.start_us)
            more = amounts[meter.place] - before[meter.place]
            self.reserved[spot] = self.reserved.get(spot, 0) + more
        self.amounts[holding] = amounts

    def spend(self, holding: Holding) -> None:
        """What it holds is spent."""
        amounts = self.held(holding)
        self.hold(holding, NONE)
        for meter, count in holding.held:
            spot = spot_of(meter.budget.ref, count.span.start_us)
            self.spent[spot] = self.spent.get(spot, 0) + amounts[meter.place]


def spot_of(ref: Ref, start_us: int) -> BudgetSpot:
    """A budget in a window: `b3` by its number, `kp1` and `tp1` the balance of a key or a team."""
    owner = ref.prepaid
    named = f"b{ref.id}" if owner is None else f"{owner.kind[0]}p{owner.id}"
    return BudgetSpot(named, start_us)


def spots_of(steps: Sequence[BudgetStep]) -> dict[BudgetSpot, Budget]:
    """The budgets and windows that steps are of."""
    return {
        spot_of(meter.budget.ref, count.span.start_us): meter.budget
        for step in steps
        for meter, count in step.holding.held
    }


def budgets_taken(
    steps: Sequence[BudgetStep], before: Mapping[BudgetSpot, BudgetStanding]
) -> BudgetsTaken:
    """Do steps one after the other. What requests hold is changed by `taken_over` only.

    Args:
        steps: in the order in which they came.
        before: what is taken of each budget and window that they are of.
    """
    taken = BudgetsTaken()
    for step in steps:
        refused = None
        match step:
            case Hold():
                refused = _refused(step, before, taken)
                if refused is None:
                    taken.hold(step.holding, step.amounts)
            case Adjust():
                taken.hold(step.holding, step.amounts)
            case Spend():
                taken.levels += _levels(step.holding, before, taken)
                taken.spend(step.holding)
        taken.refused.append(refused)
    return taken


def without_counts(steps: Sequence[BudgetStep]) -> BudgetsTaken:
    """What steps change although the counts are away: what was done already, nothing new."""
    taken = BudgetsTaken()
    for step in steps:
        if isinstance(step, Adjust):
            taken.hold(step.holding, step.amounts)
        elif isinstance(step, Spend):
            taken.spend(step.holding)
    return taken


def taken_over(taken: BudgetsTaken) -> None:
    """The steps are done for good: requests hold what they changed."""
    for holding, amounts in taken.amounts.items():
        holding.amounts = amounts


def _standing(
    pair: tuple[BudgetMeter, WindowCount],
    before: Mapping[BudgetSpot, BudgetStanding],
    taken: BudgetsTaken,
) -> WindowCount:
    """A window as it is by now."""
    meter, count = pair
    spot = spot_of(meter.budget.ref, count.span.start_us)
    known = before[spot]
    return WindowCount(
        count.span,
        known.spent + taken.spent.get(spot, 0),
        known.reserved + taken.reserved.get(spot, 0),
    )


def _refused(
    step: Hold, before: Mapping[BudgetSpot, BudgetStanding], taken: BudgetsTaken
) -> Exceeded | None:
    pairs = tuple(
        (meter, _standing((meter, count), before, taken)) for meter, count in step.holding.held
    )
    trial = Reservation(Budgets(keep_us=0), (), 0, pairs)
    trial.amounts = taken.held(step.holding)
    try:
        trial.change(step.amounts, more=step.more)
    except Exceeded as exceeded:
        return exceeded
    return None


def _levels(
    holding: Holding, before: Mapping[BudgetSpot, BudgetStanding], taken: BudgetsTaken
) -> Sequence[Level]:
    """Of budgets that a spending brings to some percent."""
    found: list[Level] = []
    for pair in holding.held:
        meter, count = pair[0], _standing(pair, before, taken)
        spent, amount = count.spent, meter.budget.amount
        count.spent += taken.held(holding)[meter.place]
        count.reserved -= taken.held(holding)[meter.place]
        found += [
            Level(meter.budget, meter.state(count), percent)
            for percent in ALERTS
            if spent * 100 < amount * percent <= count.spent * 100
        ]
    return found


class BudgetCounting(Protocol):
    """Does steps where all servers do, in the order in which they came."""

    budgets_seen: Callable[[Mapping[BudgetSpot, BudgetStanding], Sequence[Level]], None]

    def take_budget(self, step: Hold) -> Awaitable[None]:
        """Do a step, and wait for it. Raises Exceeded, Overloaded."""
        ...

    def post(self, step: BudgetStep) -> None:
        """Do a step after those before it, some time."""
        ...


class SharedBudgets(Budgets):
    """All budgets of all servers; what is known of them here is what the last steps said."""

    def __init__(self, counting: BudgetCounting, *, keep_us: int) -> None:
        """None yet."""
        super().__init__(keep_us=keep_us)
        self._counting = counting
        counting.budgets_seen = self._seen

    def reserve(self, owners: Sequence[Owner], at_us: int) -> Reservation:
        """A reservation of nothing yet, in all budgets of the owners."""
        held = super().reserve(owners, at_us).held
        return SharedReservation(self, tuple(owners), at_us, held, self._counting)

    def _seen(self, standing: Mapping[BudgetSpot, BudgetStanding], levels: Sequence[Level]) -> None:
        for meter in self.meters():
            for count in meter.counts.values():
                found = standing.get(spot_of(meter.budget.ref, count.span.start_us))
                if found is not None:
                    count.spent, count.reserved = found
        for level in levels:
            self.tell(level)


class SharedReservation(Reservation):
    """What one request holds of budgets that servers share."""

    def __init__(
        self,
        budgets: Budgets,
        owners: tuple[Owner, ...],
        at_us: int,
        held: Held,
        counting: BudgetCounting,
    ) -> None:
        super().__init__(budgets, owners, at_us, held)
        self._counting = counting
        self._holding = Holding(held)
        self._asked = False  # whether something may be held there

    async def hold(self, amounts: Amounts, *, more: Sequence[Unit] = ()) -> None:
        """Hold these amounts instead, in all budgets or in none. Raises Exceeded, Overloaded."""
        if self.held:
            self._asked = True
            await self._counting.take_budget(Hold(self._holding, amounts, tuple(more)))
        self.amounts = amounts

    def settle(self, amounts: Amounts) -> None:
        """Hold what the request took in the end; never refused: it is done."""
        if self._asked or (self.held and amounts != NONE):
            self._counting.post(Adjust(self._holding, amounts))
        self._asked = bool(self.held) and amounts != NONE
        self.amounts = amounts

    def spend(self, line: int) -> None:
        """What is held is spent: its line is in the journal."""
        del line  # the store knows it by what the line says itself
        if self._asked:
            self._counting.post(Spend(self._holding))
        self._asked = False
        self.amounts = NONE

    def parts(self) -> tuple[HeldPart, ...]:
        """What the line in the journal says of it."""
        return tuple(
            HeldPart(*spot_of(meter.budget.ref, count.span.start_us), self.amounts[meter.place])
            for meter, count in self.held
            if self.amounts[meter.place]
        )
