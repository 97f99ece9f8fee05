"""The scheduler before a real engine: a small request beside one of 1000 documents."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rerankd.core.options import LoadOptions
from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Logits, Row
from rerankd.engines.base import Engine
from rerankd.models.base import pointwise
from rerankd.models.load import load, resolve
from rerankd.service.scheduler import Scheduler
from tests.checkpoints.bert import TINY_BERT, write


class Counting:
    """Counts the batches of an engine, and tells when the first one starts."""

    def __init__(self, engine: Engine) -> None:
        self.batches = 0
        self.loop = asyncio.get_running_loop()
        self.first = asyncio.Event()
        self._forward = engine.forward

    def forward(self, batch: Sequence[Row]) -> Logits:
        self.batches += 1
        self.loop.call_soon_threadsafe(self.first.set)
        return self._forward(batch)


async def test_four_documents_beside_a_thousand(tmp_path: Path) -> None:
    one_stream = LoadOptions(streams=1)  # the same batches on any machine
    folder = write(tmp_path / "tiny", TINY_BERT)
    model = pointwise(load(resolve(str(folder), one_stream)).model)

    def prepared(kind: str, documents: int) -> Sequence[Row]:
        texts = (f"{kind} {n} " + "of the city " * (n % 20) for n in range(documents))
        contents = tuple(Content(value=text) for text in texts)
        return model.prepare(RerankRequest(query=Content(value="which?"), documents=contents)).rows

    large, small = prepared("large", 1000), prepared("small", 4)
    alone = model.engine.forward(small)
    scheduler = Scheduler(model.engine, request_tokens=1_000_000, queue_tokens=1_000_000)
    counting = Counting(model.engine)
    model.engine.forward = counting.forward  # type: ignore[method-assign]
    try:
        running = asyncio.create_task(scheduler.submit(large, key="a"))
        await counting.first.wait()
        before = counting.batches
        scored = await scheduler.submit(small, key="a")
        assert counting.batches - before <= 2
        assert not running.done()
        np.testing.assert_allclose(scored.logits, alone, atol=1e-5)
        whole = await running
        assert whole.logits.shape == (1000, 1)
        assert scheduler.waiting_tokens == 0
    finally:
        await scheduler.close()
