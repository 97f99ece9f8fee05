"""Requests with images through the pipeline: counts, equal pairs, the score cache, errors."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rerankd.access.keys import Key
from rerankd.core.errors import InvalidRequest
from rerankd.engines.fake import FakeEngine
from rerankd.models.load import Loaded, Spec
from rerankd.service.base import Trace
from rerankd.service.plan import ServingPlan
from rerankd.service.pool import Pool
from rerankd.settings.schema import Limits
from tests.kit.support import Ranker
from tests.models.vision import ask, fake_model
from tests.reference.make_vision_goldens import clip
from tests.reference.pictures import Picture

ALL = Limits(documents=1000, document_bytes=1000, query_bytes=1000)
OPEN = Key(name="open", digest=b"")


@contextlib.asynccontextmanager
async def serving(folder: Path, **options: Any) -> AsyncGenerator[tuple[Ranker, FakeEngine]]:
    model = fake_model(folder)
    pool = Pool(
        Limits(request_tokens=100_000, queue_tokens=100_000, **options),
        load=lambda _: Loaded(model=model, warnings=()),
    )
    await pool.start(ServingPlan(specs=(Spec(name="tiny-vl"),), aliases={}))
    pipeline = Ranker(pool, ALL)
    engine = model.engine
    assert isinstance(engine, FakeEngine)
    try:
        yield pipeline, engine
    finally:
        await pipeline.backend.close()


async def test_a_mixed_list_is_ranked_and_counted(tmp_path: Path) -> None:
    documents = ("a text", Picture(1, 64, 64), Picture(2, 64, 96), clip(3, 384, 384, 2), "b")
    async with serving(tmp_path) as (pipeline, _):
        trace = Trace()
        ranking = await pipeline.rerank(ask("a query", *documents), OPEN, trace)
    assert sorted(hit.index for hit in ranking.hits) == list(range(5))
    assert ranking.image_tokens == 4 + 6 + 144
    assert ranking.input_tokens == trace.cost.input_tokens
    assert ranking.input_tokens is not None
    assert ranking.input_tokens > 5 * 100


async def test_equal_pictures_run_once_and_different_ones_do_not(tmp_path: Path) -> None:
    shown = (Picture(1, 64, 64), Picture(2, 64, 64), Picture(1, 64, 64))
    async with serving(tmp_path) as (pipeline, engine):
        ranking = await pipeline.rerank(ask("a query", *shown), OPEN, Trace())
    assert sum(engine.batches) == 2
    assert ranking.image_tokens == 12  # each pair is counted


async def test_the_score_cache_knows_a_picture_again_and_no_other(tmp_path: Path) -> None:
    async with serving(tmp_path, score_cache_bytes=1_000_000) as (pipeline, engine):
        await pipeline.rerank(ask("q", Picture(1, 64, 64)), OPEN, Trace())
        again = await pipeline.rerank(ask("q", Picture(1, 64, 64)), OPEN, Trace())
        assert sum(engine.batches) == 1
        assert again.cached_tokens == again.input_tokens
        other = await pipeline.rerank(ask("q", Picture(2, 64, 64)), OPEN, Trace())
        assert sum(engine.batches) == 2
        assert other.cached_tokens == 0


async def test_one_bad_picture_is_an_error_of_the_request_by_name(tmp_path: Path) -> None:
    asked = ask("q", "x", Picture(1, 64, 64), Picture(1, 2, 900))
    async with serving(tmp_path) as (pipeline, engine):
        with pytest.raises(InvalidRequest, match=r"documents\[2\]: the image is 900 by 2 pixels"):
            await pipeline.rerank(asked, OPEN, Trace())
        unread = replace(asked.documents[1], media=None)
        asked = replace(asked, documents=(asked.documents[0], unread))
        with pytest.raises(InvalidRequest, match=r"documents\[1\]: only texts are read here"):
            await pipeline.rerank(asked, OPEN, Trace())
        assert engine.batches == []
