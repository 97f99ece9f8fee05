"""Work is spread so that no engine waits while another has a queue."""

from __future__ import annotations

from tests.kit.virtual_time import VirtualLoop
from tests.workers.goodput import goodput


def test_eight_workers_do_eight_times_the_work_of_one() -> None:
    loop = VirtualLoop()
    done = loop.run_until_complete(goodput(8, seconds=10, clients=3))
    loop.close()
    assert done > 0.95 * 8
