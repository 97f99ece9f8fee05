"""A connection to an upstream is kept and used again."""

from __future__ import annotations

import asyncio

import pytest

from rerankd.gateway import transport
from tests.gateway.test_every_failure import FIRST_PORT, KEY, NAMED, Case, settings_of
from tests.kit.providers import CALLABLE, ROWS, Connections, Fake
from tests.kit.support import running


@pytest.mark.parametrize("name", ["answers", "503", "its unknown model", "too few results"])
async def test_a_connection_is_used_again_when_its_answer_was_whole(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = next(row for row in ROWS if row.name == name)
    case = Case(NAMED[0], Fake(CALLABLE[0], row), "to")
    network = Connections({FIRST_PORT: case.fake})
    monkeypatch.setattr(transport, "dial", network.dial)
    monkeypatch.setenv("UPSTREAM_KEY", KEY)
    values = settings_of([case], row)
    async with running(values) as (client, state):
        for n in range(1, 6):
            await case.ask(client)
            state.fleet.upstreams["to"].forgive()
            state.fleet.upstreams["to"].breaker.good()
            assert network.opened == 1
            if name == "answers":
                assert len(case.fake.asked) == n
        if name == "answers":
            case.fake.delay_s = 0.05
            await asyncio.gather(*(case.ask(client) for _ in range(5)))
            assert 1 < network.opened <= 5
