"""Two stages as the pipeline runs them: who scores what, who pays, who is refused."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from rerankd.access.keys import Key
from rerankd.access.rates import RateLimits
from rerankd.core.cascade import FIRST_STAGE, Cascade
from rerankd.core.errors import (
    EngineFailed,
    InvalidRequest,
    Overloaded,
    QueryTooLong,
    RateLimited,
)
from rerankd.core.meter import Meter
from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Logits, Prepared, Row, Scores
from rerankd.engines.fake import FakeEngine
from rerankd.models.load import Loaded, Spec
from rerankd.service.base import Trace
from rerankd.service.plan import ServingPlan
from rerankd.service.pool import Pool
from rerankd.settings.schema import Limits
from tests.kit.support import BytesModel, Ranker

ALL = Limits(documents=1000, document_bytes=1000, query_bytes=1000)
OPEN = Key(name="open", digest=b"")
LETTERS = "abcdefghij"


class Backwards(BytesModel):
    """The opposite order of BytesModel."""

    def logit(self, logits: Logits) -> Scores:
        return -logits[:, 0].astype(np.float64)


class Choosy(BytesModel):
    """Refuses the document "j", as a model that would have to cut it."""

    def prepare(self, request: RerankRequest, meter: Meter | None = None) -> Prepared:
        for i, document in enumerate(request.documents):
            if document.value == "j":
                raise InvalidRequest(f"documents[{i}] is too long.", param=f"documents[{i}]")
        return super().prepare(request, meter)


class Broken(FakeEngine):
    """Cannot answer."""

    def forward(self, batch: Sequence[Row]) -> Logits:
        raise EngineFailed("broken")


@contextlib.asynccontextmanager
async def pipeline_of(
    cascades: Mapping[str, Cascade | None],
    *,
    model: BytesModel | None = None,
    first: BytesModel | None = None,
    queue_tokens: int = 1000,
    rates: RateLimits | None = None,
) -> AsyncGenerator[tuple[Ranker, FakeEngine, FakeEngine]]:
    """A pipeline with a lexical stand-in and `model`, and the engines of both."""
    lexical = first or BytesModel(FIRST_STAGE)
    second = model or Backwards("model")
    models = {FIRST_STAGE: lexical, "model": second}

    def load(spec: Spec) -> Loaded:
        return Loaded(model=models[spec.name], warnings=())

    pool = Pool(Limits(request_tokens=1000, queue_tokens=queue_tokens), load=load)
    specs = (Spec(name="model"), Spec(name=FIRST_STAGE))
    await pool.start(ServingPlan(specs=specs, aliases={"alias": "model"}, cascades=cascades))
    pipeline = Ranker(pool, ALL, rates)
    first_engine, second_engine = lexical.engine, second.engine
    assert isinstance(first_engine, FakeEngine)
    assert isinstance(second_engine, FakeEngine)
    try:
        yield pipeline, first_engine, second_engine
    finally:
        await pipeline.backend.close()


def request_of(texts: Sequence[str], **fields: object) -> RerankRequest:
    made = RerankRequest(
        query=Content(value="q"), documents=tuple(Content(value=text) for text in texts)
    )
    return replace(made, **fields)  # type: ignore[arg-type]


def three(name: str = "model") -> dict[str, Cascade | None]:
    return {name: Cascade(first=FIRST_STAGE, keep=3)}


async def test_the_best_are_scored_by_the_model_as_without_stages_and_the_rest_follow() -> None:
    trace = Trace()
    async with pipeline_of(three()) as (pipeline, first, second):
        ranking = await pipeline.rerank(request_of(LETTERS, model="model"), OPEN, trace)
        alone = await pipeline.rerank(request_of("hij", model="model"), OPEN, Trace())
    shown = "".join(LETTERS[hit.index] for hit in ranking.hits)
    # bytes of a..j: the fake's logit rises a..j within one turn of its modulus
    assert shown == "hij" + "gfedcba"
    assert [hit.score for hit in ranking.hits[:3]] == [hit.score for hit in alone.hits]
    assert [hit.stage for hit in ranking.hits] == [""] * 3 + [FIRST_STAGE] * 7
    assert all(a.score >= b.score for a, b in pairwise(ranking.hits))
    assert (first.batches, second.batches) == ([10], [3, 3])  # the last: 3 documents go straight
    assert (ranking.model, ranking.documents) == ("model", 10)
    assert ranking.input_tokens == 3 * 10 + 3 * 3  # "q", a one, a letter: 3 tokens a pair
    assert "30 terms of rerankd-lexical, 9 tokens of model" in ranking.warnings[0]
    assert "model scored 3 of 10 documents" in ranking.warnings[0]
    assert (trace.model, trace.cost.documents, trace.cost.pairs) == ("model", 10, 13)
    assert trace.cost.input_tokens == ranking.input_tokens
    assert alone.warnings == ()


async def test_equal_documents_are_all_scored_by_the_model() -> None:
    async with pipeline_of(three()) as (pipeline, first, second):
        ranking = await pipeline.rerank(request_of("aabbcc" + "aabb"), OPEN, Trace())
        shown = await pipeline.rerank(request_of("bbbbbbac"), OPEN, Trace())
    assert len({hit.score for hit in ranking.hits}) == 2 + 1
    assert [hit.stage for hit in ranking.hits].count("") == 6  # the c twice, the b four times
    assert [hit.stage for hit in shown.hits] == [""] * 7 + [FIRST_STAGE]
    assert (first.batches, second.batches) == ([3, 3], [2, 2])


async def test_top_n_is_a_prefix_and_logits_keep_the_order() -> None:
    async with pipeline_of(three()) as (pipeline, _, _):
        whole = await pipeline.rerank(request_of(LETTERS, raw_scores=True), OPEN, Trace())
        for n in (1, 3, 4):
            some = await pipeline.rerank(
                request_of(LETTERS, raw_scores=True, top_n=n), OPEN, Trace()
            )
            assert some.hits == whole.hits[:n]
    assert all(hit.score == hit.logit for hit in whole.hits)
    assert all(a.score >= b.score for a, b in pairwise(whole.hits))


@pytest.mark.parametrize(
    ("cascades", "asked", "staged"),
    [
        (three("model"), None, True),
        (three("model"), "alias", True),
        ({**three("model"), "alias": None}, "alias", False),
        (three("alias"), "alias", True),
        (three("alias"), "model", False),
        (three("alias"), None, False),
        (three("model"), FIRST_STAGE, False),
    ],
    ids=str,
)
async def test_stages_hang_on_the_name_asked_for(
    *, cascades: dict[str, Cascade | None], asked: str | None, staged: bool
) -> None:
    async with pipeline_of(cascades) as (pipeline, _, _):
        ranking = await pipeline.rerank(request_of(LETTERS, model=asked), OPEN, Trace())
    assert any(hit.stage for hit in ranking.hits) == staged
    assert bool(ranking.warnings) == staged
    assert ranking.model == (FIRST_STAGE if asked == FIRST_STAGE else "model")


async def test_a_document_that_the_model_refuses_is_named_as_the_caller_counts() -> None:
    key = Key(name="k", digest=b"k", tpm=39)
    async with pipeline_of(three(), model=Choosy("model")) as (pipeline, _, _):
        with pytest.raises(InvalidRequest, match=r"^documents\[9\] is too long") as refused:
            await pipeline.rerank(request_of(LETTERS), key, Trace())
        assert refused.value.param == "documents[9]"
        await pipeline.rerank(request_of("abcdefghi."), key, Trace())  # all 39 were given back


async def test_tpm_is_charged_for_both_stages_or_for_none() -> None:
    now = 0.0
    exact, less = (Key(name=str(n), digest=bytes([n]), tpm=n) for n in (39, 38))
    rates = RateLimits(clock=lambda: now)
    async with pipeline_of(three(), rates=rates) as (pipeline, _, second):
        await pipeline.rerank(request_of(LETTERS), exact, Trace())  # 30 + 9
        with pytest.raises(RateLimited):
            await pipeline.rerank(request_of("a"), exact, Trace())
        await pipeline.rerank(request_of(LETTERS), less, Trace())  # over it: waits for a full one
        with pytest.raises(RateLimited):
            await pipeline.rerank(request_of("a"), less, Trace())
        now = 60.0
        await pipeline.rerank(request_of("a"), exact, Trace())  # 36 left: enough for the first
        ran = len(second.batches)
        with pytest.raises(RateLimited):
            await pipeline.rerank(request_of(LETTERS), exact, Trace())
        assert len(second.batches) == ran
        await pipeline.rerank(request_of("abc"), exact, Trace())  # 9 of the 36: nothing was kept


async def test_a_full_queue_of_the_model_refuses_before_the_first_stage_works() -> None:
    slow = Backwards("model", FakeEngine(max_length=None, batch_tokens=22, delay_s=0.05))
    async with pipeline_of(three(), model=slow, queue_tokens=40) as (pipeline, first, second):
        long = request_of([letter * 20 for letter in "abc"])  # 66 tokens: taken by an empty queue
        running = asyncio.create_task(pipeline.rerank(long, OPEN, Trace()))
        while not second.batches:
            await asyncio.sleep(0.001)
        with pytest.raises(Overloaded, match="holds 44 of 40"):
            await pipeline.rerank(request_of(LETTERS), OPEN, Trace())
        assert first.batches == []
        await running


async def test_a_caller_that_leaves_in_the_second_stage_leaves_no_rows() -> None:
    slow = Backwards("model", FakeEngine(max_length=None, batch_tokens=3, delay_s=0.05))
    async with pipeline_of(three(), model=slow) as (pipeline, _, second):
        task = asyncio.create_task(pipeline.rerank(request_of(LETTERS), OPEN, Trace()))
        while not second.batches:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert pipeline.pool.get("model").scheduler.waiting_tokens == 0
        async with asyncio.timeout(5):
            await pipeline.pool.get("model").scheduler.finish()  # neither is held any more
            await pipeline.pool.get(FIRST_STAGE).scheduler.finish()


async def test_a_failing_model_fails_the_request_and_is_not_replaced_by_the_first_stage() -> None:
    broken = Backwards("model", Broken(max_length=None))
    async with pipeline_of(three(), model=broken) as (pipeline, _, _):
        with pytest.raises(EngineFailed):
            await pipeline.rerank(request_of(LETTERS), OPEN, Trace())


async def test_images_are_refused_in_the_name_of_the_model_asked_for() -> None:
    image = Content(modality="image", value="x")
    async with pipeline_of(three()) as (pipeline, _, _):
        with pytest.raises(InvalidRequest, match="model reads text only"):
            await pipeline.rerank(request_of(LETTERS, documents=(image,) * 4), OPEN, Trace())


class Brief(BytesModel):
    """Takes two tokens of a query; of one that is cut it keeps the beginning."""

    def prepare(self, request: RerankRequest, meter: Meter | None = None) -> Prepared:
        if len(request.query.value) > 2:
            tokens = len(request.query.value)
            raise QueryTooLong(f"query has {tokens} tokens.", tokens=tokens, limit=2)
        return super().prepare(request, meter)


@pytest.mark.parametrize("allowed", [{"truncate_query": True}, {"max_tokens_per_query": 9}])
async def test_what_the_first_stage_cuts_of_a_query_is_said(allowed: dict[str, object]) -> None:
    asked = request_of(LETTERS, model="model", query=Content(value="query"))
    async with pipeline_of(three(), first=Brief(FIRST_STAGE)) as (pipeline, _, _):
        ranking = await pipeline.rerank(replace(asked, **allowed), OPEN, Trace())  # type: ignore[arg-type]
        with pytest.raises(QueryTooLong):
            await pipeline.rerank(asked, OPEN, Trace())
    assert ranking.warnings[1:] == (
        f"query: cut to its first 2 of 5 characters: {FIRST_STAGE} takes no more.",
    )
