"""What a request with images costs: fetches, time and memory; and what comes before a fetch."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from tests.kit.media_files import movie, picture, uri
from tests.kit.media_kit import (
    Server,
    VisionModel,
    bodies,
    listening,
    media_of,
    rank,
    refused,
    reply,
    seeing,
    world,
)
from tests.kit.support import BytesModel, local, running

PNG = picture()
PATIENCE_S = 60.0  # what must happen soon; the settings that would end it too are ten times as long


async def test_what_is_equal_is_fetched_and_decoded_once() -> None:
    model = VisionModel()
    async with world() as around:
        url, same = around.serve("/a", PNG), around.serve("/same", PNG)
        async with seeing(around.values(), names=around.names, model=model) as (client, state):
            await rank(client, *[{"image": url}] * 5, {"image": same}, {"image": uri(PNG)})
            loader = local(state).pipeline.media
            assert loader is not None
            assert loader.decoded.peak_bytes == 20 * 10 * 3
    assert around.store.connections == 2  # two URLs
    assert len({id(found) for found in media_of(model)}) == 1


async def test_fetches_run_side_by_side_within_their_limits() -> None:
    async with world() as around, listening(Server("127.0.0.3")) as other:
        together = asyncio.Event()

        async def meet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            """Answers when as many are here as may be."""
            if around.store.open_now + other.open_now == 4 + 2:
                together.set()
            await asyncio.wait_for(together.wait(), PATIENCE_S)
            writer.write(reply(PNG))
            await writer.drain()

        around.names.add("second.test", ["127.0.0.3"])
        values = around.values(
            allow=["127.0.0.0/29"],
            ports=[around.port, other.port],
            fetches_per_host=4,
            fetch_s=PATIENCE_S,
            read_s=PATIENCE_S,
        )
        for i in range(6):
            around.store.routes[f"/{i}"] = meet
        for i in range(2):
            other.routes[f"/{i}"] = meet
        urls = [around.url(f"/{i}") for i in range(6)]
        urls += [f"http://second.test:{other.port}/{i}" for i in range(2)]
        async with seeing(values, names=around.names) as (client, _):
            await rank(client, *({"image": url} for url in urls))
    assert (around.store.most_open, other.most_open) == (4, 2)


async def test_the_server_fetches_so_many_at_once() -> None:
    async with world() as around:

        async def slow(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(0.02)
            writer.write(reply(PNG))
            await writer.drain()

        for i in range(12):
            around.store.routes[f"/{i}"] = slow
        documents = [{"image": around.url(f"/{i}")} for i in range(12)]
        async with seeing(around.values(fetches=3), names=around.names) as (client, _):
            await asyncio.gather(*(rank(client, *documents[i::2]) for i in range(2)))
    assert (around.store.connections, around.store.most_open) == (12, 3)


async def test_the_first_failure_ends_the_other_fetches() -> None:
    async with world() as around:
        gone = asyncio.Event()

        async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            await reader.read()
            gone.set()

        around.store.routes["/hang"] = hang
        values = around.values(fetch_s=600, read_s=600)
        async with seeing(values, names=around.names) as (client, state):
            body = {
                "query": "q",
                "documents": [{"image": around.url("/hang")}, {"image": around.url("/missing")}],
            }
            answer = await client.post("/v1/rerank", json=body)
            assert (answer.status_code, "documents[1]" in answer.text) == (400, True)
            await asyncio.wait_for(gone.wait(), PATIENCE_S)
            page = (await client.get("/metrics")).text
            loader = local(state).pipeline.media
            assert loader is not None
            assert loader.encoded.used_bytes == 0
    assert 'rerankd_media_fetches_total{outcome="cancelled"} 1.0' in page
    assert 'rerankd_media_fetches_total{outcome="http"} 1.0' in page


async def test_a_client_that_leaves_ends_its_fetches_and_frees_its_bytes() -> None:
    async with world() as around:
        arrived, gone = asyncio.Event(), asyncio.Event()

        async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(reply(PNG)[:-9])
            await writer.drain()
            arrived.set()
            await reader.read()
            gone.set()

        around.store.routes["/hang"] = hang
        values = around.values(fetch_s=600, read_s=600)
        async with seeing(values, names=around.names) as (client, state):
            body = {"query": "q", "documents": [{"image": around.url("/hang")}]}
            leaving = asyncio.create_task(client.post("/v1/rerank", json=body))
            await asyncio.wait_for(arrived.wait(), PATIENCE_S)
            leaving.cancel()
            await asyncio.wait([leaving])
            await asyncio.wait_for(gone.wait(), PATIENCE_S)
            loader = local(state).pipeline.media
            assert loader is not None
            while loader.encoded.used_bytes:
                await asyncio.sleep(0.01)


async def test_the_deadline_ends_a_fetch() -> None:
    async with world() as around:
        values = around.values(fetch_s=600, read_s=600) | {"limits": {"deadline_s": 0.3}}

        async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            await reader.read()

        around.store.routes["/hang"] = hang
        async with seeing(values, names=around.names) as (client, _):
            body = {"query": "q", "documents": [{"image": around.url("/hang")}]}
            answer = await client.post("/v1/rerank", json=body)
        assert answer.status_code == 504


async def test_a_model_that_reads_text_only_causes_no_fetch() -> None:
    async with world() as around:
        async with running(around.values(), model=BytesModel("fake-vision")) as (client, _):
            for dialect, (path, body) in bodies("image", around.url("/a")).items():
                answer = await client.post(path, json=body)
                assert answer.status_code in (400, 422), dialect
                assert "fake-vision reads text only" in answer.text
        assert (around.names.asked, around.store.connections) == ([], 0)


async def test_key_and_rate_come_before_a_fetch() -> None:
    async with world() as around:
        keys = [
            {"name": "a", "key": "sk-a", "rpm": 1},
            {"name": "b", "key": "sk-b", "models": ["x"]},
        ]
        async with seeing(around.values() | {"keys": keys}, names=around.names) as (client, _):
            body = {"query": "q", "documents": ["text"]}
            good = {"authorization": "Bearer sk-a"}
            assert (await client.post("/v1/rerank", json=body, headers=good)).status_code == 200
            body = {"query": "q", "documents": [{"image": around.url("/a")}]}
            statuses = [
                (await client.post("/v1/rerank", json=body, headers=headers)).status_code
                for headers in (good, {"authorization": "Bearer sk-b"}, {})
            ]
        assert statuses == [429, 403, 401]
        assert (around.names.asked, around.store.connections) == ([], 0)


async def test_base64_may_be_longer_than_a_text() -> None:
    data = picture(size=(400, 400))
    values = {"limits": {"document_bytes": 100, "query_bytes": 100}}
    async with seeing(values) as (client, _):
        body = {"query": {"image": uri(data)}, "documents": [{"image": uri(data)}]}
        assert (await client.post("/v1/rerank", json=body)).status_code == 200


async def test_metrics_and_log_of_a_request(capsys: pytest.CaptureFixture[str]) -> None:
    async with world() as around:
        url = around.serve("/a", PNG)
        async with seeing(around.values(), names=around.names) as (client, _):
            await rank(client, {"image": url}, {"image": uri(PNG)}, "text")
            page = (await client.get("/metrics")).text
    assert 'rerankd_media_total{model="fake-vision"} 2.0' in page
    assert 'rerankd_media_fetches_total{outcome="ok"} 1.0' in page
    assert f"rerankd_media_fetched_bytes_total {len(PNG)}.0" in page
    assert 'rerankd_media_held_bytes{form="decoded"} 0.0' in page
    assert f"media_bytes={len(PNG)}" in capsys.readouterr().out


async def test_fifty_requests_stay_within_the_budget() -> None:
    """Each holds its pixels until it is answered; room is for seven of them at once."""
    model = VisionModel()
    one = 100 * 100 * 3 * 2
    images = [[picture(size=(100, 100), colour=(i, j, 0)) for j in (0, 1)] for i in range(50)]
    async with world() as around:
        values = around.values(decoded_bytes=7 * one)
        async with seeing(values, names=around.names, model=model) as (client, state):
            loader = local(state).pipeline.media
            assert loader is not None
            held: list[int] = []
            model.wait = lambda: held.append(loader.decoded.used_bytes)
            urls = [around.serve(f"/{i}", first) for i, (first, _) in enumerate(images)]
            asked = [
                {"query": "q", "documents": [{"image": url}, {"image": uri(second)}]}
                for url, (_, second) in zip(urls, images, strict=True)
            ]
            answers = await asyncio.gather(
                *(client.post("/v1/rerank", json=body) for body in asked)
            )
            assert [answer.status_code for answer in answers] == [200] * 50
            assert max(held) <= 7 * one
            assert one < loader.decoded.peak_bytes <= 7 * one
            assert (loader.decoded.used_bytes, loader.encoded.used_bytes) == (0, 0)


async def test_who_finds_no_room_in_time_is_told_to_come_back() -> None:
    model = VisionModel()
    held = threading.Event()
    model.wait = lambda: held.wait(5)
    values = {"media": {"decoded_bytes": 1000, "wait_s": 0.1}}
    async with seeing(values, model=model) as (client, _):
        body = {"query": "q", "documents": [{"image": uri(PNG)}]}
        first = asyncio.create_task(client.post("/v1/rerank", json=body))
        while not model.seen:
            await asyncio.sleep(0.01)
        second = await client.post("/v1/rerank", json=body)
        held.set()
        assert (await first).status_code == 200
        assert second.status_code == 503
        assert second.headers["retry-after"] == "2"


async def test_encoded_bytes_of_all_requests_are_bounded() -> None:
    async with world() as around:
        half = asyncio.Event()

        async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(reply(PNG)[:-9])
            await writer.drain()
            half.set()
            await reader.read()

        around.store.routes["/hang"] = hang
        values = around.values(encoded_bytes=len(PNG) + 2, read_s=0.5)
        async with seeing(values, names=around.names) as (client, state):
            loader = local(state).pipeline.media
            assert loader is not None
            body = {"query": "q", "documents": [{"image": around.url("/hang")}]}
            first = asyncio.create_task(client.post("/v1/rerank", json=body))
            await half.wait()
            while not loader.encoded.used_bytes:
                await asyncio.sleep(0.01)
            body = {"query": "q", "documents": [{"image": uri(PNG)}]}
            assert (await client.post("/v1/rerank", json=body)).status_code == 503
            assert (await first).status_code == 400
            assert loader.encoded.used_bytes == 0
            await rank(client, {"image": uri(PNG)})
            two = [{"image": uri(PNG)}, {"image": uri(picture(colour=(1, 1, 1)))}]
            answer = await client.post("/v1/rerank", json={"query": "q", "documents": two})
            assert answer.status_code == 400  # it alone has too many: later will not help


@pytest.mark.parametrize(("module", "kind"), [("PIL", "image"), ("av", "video")])
async def test_a_library_that_is_missing_names_the_command(
    module: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = uri(PNG) if kind == "image" else uri(movie())
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    async with seeing() as (client, _):
        await refused(client, kind, value, "pip install 'rerankd[torch]'")


def test_text_needs_neither_pillow_nor_av() -> None:
    code = (
        "import sys, rerankd.web.app, rerankd.service.reranker, rerankd.media.loader;"
        "print([m for m in ('PIL', 'av') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
