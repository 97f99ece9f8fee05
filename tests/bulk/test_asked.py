"""Whoever is asked: waited for when he has no room, left when he refuses us, not overrun."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path

import pytest

from rerankd.bulk import asked as asked_module
from rerankd.bulk.asked import Ask, AskingScorer
from rerankd.bulk.inputs import Input
from rerankd.bulk.job import Job
from rerankd.bulk.output import OutputFolder
from rerankd.bulk.rows import WindowLimits
from rerankd.bulk.wishes import Wishes
from rerankd.core.answer import Hit, Ranking
from rerankd.core.errors import (
    EngineFailed,
    InvalidRequest,
    Overloaded,
    RateLimited,
    StartError,
    Unauthorized,
)
from rerankd.core.request import Content, RerankRequest
from tests.bulk.kit import lines, pair_rows

Opened = Callable[[], AbstractAsyncContextManager[Ask]]


def request(text: str = "d") -> RerankRequest:
    return RerankRequest(query=Content(value="q"), documents=(Content(value=text),))


def ranking(score: float = 0.5) -> Ranking:
    return Ranking(model="m", hits=(Hit(0, score, score),), documents=1, input_tokens=2)


def opened(ask: Ask) -> Opened:
    @asynccontextmanager
    async def found() -> AsyncGenerator[Ask]:
        yield ask

    return found


@pytest.fixture(autouse=True)
def short_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked_module, "_LEAST_S", 0.001)


def test_a_refusal_for_now_is_waited_out_as_long_as_it_says() -> None:
    loop_times: list[float] = []

    async def ask(_: RerankRequest) -> Ranking:
        loop_times.append(asyncio.get_running_loop().time())
        if len(loop_times) == 1:
            raise RateLimited("RPM", retry_after_s=0.2)
        if len(loop_times) == 2:
            raise Overloaded("full", retry_after_s=0.0)
        return ranking()

    with closing(AskingScorer(opened(ask), in_flight=2)) as scorer:
        [found] = scorer.begin([request()]).result()
    assert isinstance(found, Ranking)
    assert len(loop_times) == 3
    assert loop_times[1] - loop_times[0] >= 0.2


def test_what_is_wrong_with_a_row_is_its_answer_and_is_asked_once() -> None:
    asked: list[str] = []

    async def ask(wanted: RerankRequest) -> Ranking:
        asked.append(wanted.documents[0].value)
        if wanted.documents[0].value == "bad":
            raise InvalidRequest("documents[0]: no")
        return ranking()

    with closing(AskingScorer(opened(ask), in_flight=1)) as scorer:
        good, bad = scorer.begin([request(), request("bad")]).result()
    assert isinstance(good, Ranking)
    assert isinstance(bad, InvalidRequest)
    assert sorted(asked) == ["bad", "d"]


def test_an_engine_that_fails_is_asked_a_few_times() -> None:
    asked: list[int] = []

    async def ask(_: RerankRequest) -> Ranking:
        asked.append(1)
        raise EngineFailed("no")

    with closing(AskingScorer(opened(ask), in_flight=1)) as scorer:
        [found] = scorer.begin([request()]).result()
    assert isinstance(found, EngineFailed)
    assert len(asked) == 5


def test_a_key_that_is_refused_ends_the_job() -> None:
    async def ask(_: RerankRequest) -> Ranking:
        raise Unauthorized("Invalid token")

    with closing(AskingScorer(opened(ask), in_flight=4)) as scorer:
        found = scorer.begin([request()] * 9)
        with pytest.raises(StartError, match=r"cannot go on: Invalid token"):
            found.result()


def test_nobody_who_answers_ends_the_job_after_a_while() -> None:
    async def ask(_: RerankRequest) -> Ranking:
        raise Overloaded("nobody is there.", retry_after_s=0.0)

    with closing(AskingScorer(opened(ask), in_flight=4, patience_s=0.1)) as scorer:
        found = scorer.begin([request()] * 3)
        with pytest.raises(StartError, match=r"Nothing was answered for 0 s: nobody is there"):
            found.result()


def test_so_many_requests_are_under_way_at_once_and_no_more() -> None:
    now, most = 0, 0

    async def ask(_: RerankRequest) -> Ranking:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001)
        now -= 1
        return ranking()

    with closing(AskingScorer(opened(ask), in_flight=3)) as scorer:
        windows = [scorer.begin([request()] * 20) for _ in range(3)]
        assert [len(each.result()) for each in windows] == [20, 20, 20]
    assert most == 3


def test_closing_ends_what_is_under_way() -> None:
    ended: list[str] = []
    begun = threading.Event()

    async def ask(_: RerankRequest) -> Ranking:
        begun.set()
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append("request")
        raise AssertionError

    @asynccontextmanager
    async def found() -> AsyncGenerator[Ask]:
        yield ask
        ended.append("who")

    scorer = AskingScorer(found, in_flight=1)
    scorer.begin([request()])
    assert begun.wait(100)
    scorer.close()
    assert ended == ["request", "who"]


def test_who_cannot_be_opened_is_told() -> None:
    @asynccontextmanager
    async def found() -> AsyncGenerator[Ask]:
        raise StartError("no such model")
        yield

    with pytest.raises(StartError, match="no such model"):
        AskingScorer(found, in_flight=1)


def test_a_job_that_is_stopped_keeps_what_was_sent(tmp_path: Path) -> None:
    path = lines(tmp_path / "in.jsonl", pair_rows(60))

    async def ask(wanted: RerankRequest) -> Ranking:
        await asyncio.sleep(0.01)
        hits = tuple(Hit(i, 0.5, 0.5) for i in range(len(wanted.documents)))
        return Ranking(model="m", hits=hits, documents=len(hits), input_tokens=1)

    asked: list[int] = []

    def stops() -> bool:
        asked.append(1)
        return len(asked) > 3

    with (
        closing(Input(path=path).source(Wishes())) as source,
        closing(OutputFolder(tmp_path / "out")) as folder,
        closing(AskingScorer(opened(ask), in_flight=2)) as scorer,
    ):
        folder.go_on()
        limits = WindowLimits(pairs=5)
        job = Job(source=source, scorer=scorer, folder=folder, limits=limits, stops=stops)
        assert not job.run()
        assert folder.progress.counts.rows == 15  # all three windows that were sent
