"""The parts of a server are put together in one place, and a backend can be had by itself."""

from __future__ import annotations

import pytest

from rerankd.core.errors import StartError
from rerankd.service.lag import LoopLag
from rerankd.telemetry.metrics import Metrics
from rerankd.web.assemble import backend_of, keys_of, make_state, plan_of
from tests.kit.support import settings

KEYS = [{"name": "team", "key": "sk-0123456789abcdef", "models": ["rerankd-lexical"], "rpm": 3}]
WANTED = settings(models=["rerankd-lexical"], keys=KEYS, limits={"request_tokens": 77})


async def test_a_backend_needs_no_server_around_it() -> None:
    backend = backend_of(WANTED, Metrics(), LoopLag())
    try:
        await backend.start(plan_of(WANTED))
        facts = backend.facts()
        assert facts.is_ready
        assert [model.name for model in facts.ready] == ["rerankd-lexical"]
        assert facts.request_tokens == 77
        assert (await backend.check()).ok
    finally:
        await backend.close()


def test_a_server_has_every_part_of_the_settings() -> None:
    state = make_state(WANTED)
    assert state.limits is WANTED.limits
    assert [key.name for key in state.keys] == ["team"]
    assert state.backend.facts().request_tokens == 77


def test_of_a_key_only_its_hash_is_kept() -> None:
    [key] = keys_of(WANTED)
    assert (key.name, key.models, key.rpm) == ("team", frozenset({"rerankd-lexical"}), 3)
    assert "0123456789abcdef" not in repr(key)


def test_what_cannot_be_put_together_says_why() -> None:
    with pytest.raises(StartError, match=r"media\.allow"):
        make_state(settings(media={"allow": ["http://a.test"]}))
