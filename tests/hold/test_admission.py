"""What Admission.check refuses, and with which error: queue, pace and clock by hand."""

from __future__ import annotations

import pytest

from rerankd.core.errors import DeadlineExceeded, InvalidRequest, Overloaded
from rerankd.core.fair import FairQueue
from rerankd.service.admission import Admission, QueueLimits

RATE = 100  # tokens a second


class Desk:
    """An admission whose model is known to do 100 tokens a second; nothing happens by itself."""

    def __init__(self, *, wait_s: float = 10.0) -> None:
        self.now = 0.0
        self.queue: FairQueue[str] = FairQueue()
        limits = QueueLimits(request_tokens=20_000, queue_tokens=50_000, wait_s=wait_s)
        self.admission = Admission(self.queue, limits, lambda: self.now)
        self.admission.pace.begin(0.0)
        self.now = 10.0
        self.admission.pace.ran(10 * RATE, self.now, more=False)
        assert self.admission.pace.tokens_per_s == RATE

    def wait(self, tokens: int, key: str = "") -> None:
        """So many tokens wait, all in one request."""
        self.queue.add("owner", [tokens], key=key)
        self.admission.note_backlog()


def test_a_rate_that_is_known_while_none_can_be_hoped_for_refuses_nobody_who_is_alone() -> None:
    admission = Admission(
        FairQueue[str](),
        QueueLimits(request_tokens=20_000, queue_tokens=50_000, wait_s=10.0),
        lambda: 10.0,
    )
    admission.pace.begin(0.0)
    for i in range(100):
        admission.pace.ran(10, (i + 1) / 10, more=True)  # calls that are full, of ten tokens
    assert admission.pace.tokens_per_s == pytest.approx(RATE)
    assert admission.pace.best_tokens_per_s == 0
    admission.check(20_000, until=40.0)


def test_a_request_that_meets_no_work_is_taken_up_to_its_deadline() -> None:
    desk = Desk()
    desk.admission.check(29 * RATE, until=desk.now + 30.0)
    with pytest.raises(DeadlineExceeded, match=r"limits\.deadline_s"):
        desk.admission.check(31 * RATE, until=desk.now + 30.0)
    desk.admission.check(31 * RATE, until=None)


def test_work_ahead_counts_for_the_deadline() -> None:
    desk = Desk()
    desk.wait(8 * RATE)
    desk.admission.check(8 * RATE, until=desk.now + 17.0)  # 8 s of waiting, 8 s of its own
    with pytest.raises(Overloaded, match=r"limits\.deadline_s") as refused:
        desk.admission.check(8 * RATE, until=desk.now + 12.0)
    assert refused.value.retry_after_s == 4.0


def test_a_request_that_would_wait_longer_than_wait_s_is_refused() -> None:
    desk = Desk()
    desk.wait(9 * RATE)
    desk.admission.check(100 * RATE)
    desk.wait(2 * RATE)
    with pytest.raises(Overloaded, match=r"limits\.wait_s"):
        desk.admission.check(100 * RATE)


def test_the_work_of_another_key_is_ahead_only_as_far_as_shares_go() -> None:
    desk = Desk()
    for _ in range(3):
        desk.wait(100 * RATE, key="busy")
    desk.admission.check(5 * RATE, key="other")  # 5 s of the other key's work run meanwhile
    with pytest.raises(Overloaded, match=r"limits\.wait_s"):
        desk.admission.check(5 * RATE, key="busy")  # 15 s: of three requests


def test_the_lag_of_the_event_loop_is_waiting_too() -> None:
    desk = Desk()
    desk.wait(8 * RATE)
    desk.admission.check(8 * RATE)
    desk.admission.lag_s = lambda: 3.0
    with pytest.raises(Overloaded, match=r"limits\.wait_s"):
        desk.admission.check(8 * RATE)


def test_over_request_tokens_is_a_bad_request_whatever_the_load() -> None:
    with pytest.raises(InvalidRequest, match=r"limits\.request_tokens"):
        Desk().admission.check(20_001)


def test_a_full_queue_says_when_there_is_room() -> None:
    desk = Desk(wait_s=1e9)
    desk.wait(49_000)
    desk.admission.check(1_000)
    with pytest.raises(Overloaded, match="no room") as refused:
        desk.admission.check(3_000)
    assert refused.value.retry_after_s == 20.0  # 2000 tokens too many


def test_a_reserved_place_counts_as_waiting_and_is_given_back() -> None:
    desk = Desk()
    with desk.admission.reserve(11 * RATE, text_bytes=100, key="a"):
        with pytest.raises(Overloaded, match=r"limits\.wait_s"):
            desk.admission.check(20 * RATE, key="a")
        with pytest.raises(RuntimeError), desk.admission.reserve(1, key="b"):
            raise RuntimeError
    desk.admission.check(20 * RATE, key="a")
    assert (desk.admission.backlog_tokens, desk.admission.has_work) == (0, False)
