"""How far a request goes between the router and its ranking, counted while it goes.

A stay is a function that is handed the request, alone, among others, or in what carries it. A
return is a stay in a module that was left before. The model's own functions are its own matter.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any, cast

import rerankd
from rerankd.access.keys import ANYONE
from rerankd.access.rates import RateLimits
from rerankd.core.request import Content, RerankRequest
from rerankd.gateway.router import Router
from rerankd.models.load import Loaded, Spec
from rerankd.service.base import RerankCall, Trace
from rerankd.service.local import LocalBackend
from rerankd.service.pipeline import Pipeline
from rerankd.service.plan import ServingPlan
from rerankd.service.pool import Pool
from rerankd.settings.schema import Limits
from tests.kit.support import BytesModel

SRC = str(Path(rerankd.__file__).parent)


class Way:
    """A profiler that keeps the stays: (module, function), in order."""

    def __init__(self) -> None:
        self.stays: list[tuple[str, str]] = []
        self._frames: list[FrameType] = []  # kept, so that no two have one id

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        is_ours = code.co_filename.startswith(SRC) and not code.co_name.startswith(("<", "__"))
        if event != "call" or not is_ours or any(known is frame for known in self._frames):
            return
        module = code.co_filename.removeprefix(SRC)[1:-3].replace("/", ".")
        given = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        if module != "core.request" and any(holds(frame.f_locals.get(name)) for name in given):
            self._frames.append(frame)
            self.stays.append((module, code.co_qualname))

    def returns(self) -> list[str]:
        modules = [module for module, _ in self.stays]
        visits = [m for i, m in enumerate(modules) if not i or m != modules[i - 1]]
        return [m for i, m in enumerate(visits) if m in visits[:i]]


def holds(value: Any) -> bool:
    """Whether a request is in it."""
    if isinstance(value, RerankCall):
        return True
    if isinstance(value, tuple | list):
        return any(isinstance(each, RerankRequest) for each in cast("Sequence[object]", value))
    return isinstance(value, RerankRequest)


async def test_twelve_stays_and_three_returns_are_enough() -> None:
    pool = Pool(Limits(), load=lambda _: Loaded(model=BytesModel(), warnings=()))
    await pool.start(ServingPlan(specs=(Spec(name="fake-model"),), aliases={}))
    backend, way = LocalBackend(pool, Pipeline(Limits())), Way()
    router = Router(backend, RateLimits(), documents=10)
    asked = RerankRequest(query=Content(value="q"), documents=(Content(value="a"),) * 3)
    threading.setprofile(way)
    sys.setprofile(way)
    backend.pipeline.lanes.small = ThreadPoolExecutor(1)  # a thread that is profiled
    try:
        await router.rerank((asked,), ANYONE, Trace())
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        await backend.close()
    assert way.stays[0] == ("gateway.router", "Router.rerank")
    assert way.stays[-1] == ("service.ranking", "rank")
    assert "service.tokenise" in dict(way.stays)  # on its thread
    assert len(way.stays) <= 12, way.stays
    assert len(way.returns()) <= 3, way.stays
