"""Steps on counts that several servers share: together they are what one process would do."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rerankd.access.keys import Key, Team
from rerankd.access.meters import Used
from rerankd.access.rates import RateLimits, Spot
from rerankd.access.shared import (
    Before,
    Enter,
    GiveBack,
    Leave,
    RateStep,
    TakeTokens,
    Untake,
    decided,
    needed,
)
from rerankd.core.errors import RateLimited

TEAM = Team(id=1, name="t", rpm=6, tpd=300, in_flight=3)
KEYS = (
    Key(name="a", digest=b"a", id=1, team=TEAM, rpd=5, tpm=200),
    Key(name="b", digest=b"b", id=2, team=TEAM, in_flight=2),
)
DRAWN = st.lists(
    st.tuples(
        st.sampled_from(["enter", "leave", "take", "return"]),
        st.integers(0, 1),
        st.integers(0, 150),
        st.floats(0, 20),
    ),
    max_size=30,
)


class Alone:
    """One process that counts in memory."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.rates = RateLimits(clock=lambda: self.now, wall=lambda: self.now)
        self.inside: list[tuple[bytes, ...]] = []

    def did(self, what: str, key: Key, tokens: int) -> str:
        try:
            if what == "enter":
                holders = self.rates.enter(key)
                try:
                    self.rates.take_request(key)
                except RateLimited:
                    self.rates.leave(holders)
                    raise
                self.inside.append(holders)
            elif what == "leave":
                if self.inside:
                    self.rates.leave(self.inside.pop(0))
            elif what == "take":
                self.rates.take_tokens(key, tokens)
            else:
                self.rates.give_back_tokens(key, tokens)
        except RateLimited as refused:
            return refused.limit
        return ""


@given(DRAWN, st.integers(1, 7))
def test_steps_in_any_parts_do_what_one_process_does(
    drawn: list[tuple[str, int, int, float]], size: int
) -> None:
    alone, entered = Alone(), list[Enter]()
    counts, inside = dict[Spot, Used](), dict[bytes, int]()
    for start in range(0, len(drawn), size):
        part = drawn[start : start + size]
        alone.now += part[0][3]  # a step has one time
        steps, wanted = list[RateStep](), list[str]()
        for what, number, tokens, _ in part:
            key = KEYS[number]
            if what == "leave" and not alone.inside:
                continue
            wanted.append(alone.did(what, key, tokens))
            if what == "enter":
                step: Any = Enter(key=key)
                if not wanted[-1]:
                    entered.append(step)
            elif what == "leave":
                step = Leave(entered.pop(0))
            elif what == "take":
                step = TakeTokens(key=key, tokens=tokens)
            else:
                step = GiveBack(key=key, tokens=tokens, day=int(alone.now // 86_400))
            steps.append(step)
        need = needed(steps)
        before = Before(
            alone.now,
            {at: used for at, used in counts.items() if at in need.spots},
            {holder: running for holder, running in inside.items() if holder in need.holders},
        )
        decided(steps, before)  # once in vain, as where a transaction has to be done again
        after = decided(steps, before)
        assert [r.limit if r else "" for r in after.refused] == wanted
        assert after.counts.keys() <= need.spots
        counts |= after.counts
        inside = {h: n for h, n in inside.items() if h not in need.holders} | dict(after.inside)
    assert inside == alone.rates.inside()
    for key in KEYS:
        ours = RateLimits(clock=lambda: alone.now, wall=lambda: alone.now)
        ours.restore(counts)
        assert ours.headers(key) == alone.rates.headers(key)


def test_tokens_that_nobody_waited_for_are_untaken_once_and_only_if_taken() -> None:
    key = Key(name="a", digest=b"a", tpm=100)
    taken, refused = TakeTokens(key=key, tokens=80), TakeTokens(key=key, tokens=30)
    steps = [taken, refused, Untake(refused), Untake(taken), TakeTokens(key=key, tokens=100)]
    after = decided(steps, Before(0.0, {}, {}))
    assert [r is None for r in after.refused] == [True, False, True, True, True]


def test_what_a_request_took_before_is_given_back_also_when_more_is_refused() -> None:
    key = Key(name="a", digest=b"a", tpd=100)
    first = TakeTokens(key=key, tokens=60)
    more = TakeTokens(key=key, tokens=130, returned=60, returned_day=0)
    other = TakeTokens(key=key, tokens=1)
    after = decided([first, other, more], Before(0.0, {}, {}))
    assert [r is None for r in after.refused] == [True, True, False]
    assert after.counts[key.holder, "TPD"].amount == 1
