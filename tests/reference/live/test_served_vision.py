"""A Qwen3-VL checkpoint behind the real server: HTTP in, images by URL and base64, scores out.

Run by `pytest -m reference`: the engine needs torch. What comes back over the wire is compared with
golden-vision.json, so fetching, decoding, resizing and scoring together are what transformers says.
"""

from __future__ import annotations

import base64
import math
import threading
from collections.abc import Generator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any

import httpx2
import pytest
from PIL import Image

from tests.checkpoints.vision import TINY, write
from tests.kit.media_files import movie, uri
from tests.kit.processes import serving
from tests.models.vision import golden
from tests.reference.make_vision_goldens import Item, Side, items
from tests.reference.pictures import Clip, Picture, frames

pytestmark = [pytest.mark.reference, pytest.mark.timeout(1800)]

STORE = "127.0.0.2"  # named in media.allow, as an operator names an image store
TOLERANCE = 1e-3  # of a logit
NAME = "Qwen3-VL-Tiny"
Json = dict[str, Any]


def png(shown: Picture) -> bytes:
    out = BytesIO()
    Image.fromarray(frames(shown)[0]).save(out, "PNG")
    return out.getvalue()


@dataclass
class Service:
    """The server's URL, and a store of images that it may fetch from."""

    url: str
    store: str
    files: dict[str, bytes]

    def put(self, name: str, data: bytes) -> str:
        self.files[f"/{name}"] = data
        return f"{self.store}/{name}"

    def ask(self, path: str, body: Json) -> Json:
        answer = httpx2.post(f"{self.url}{path}", json=body, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Generator[Service]:
    files: dict[str, bytes] = {}

    class Store(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = files.get(self.path)
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(found or b"")))
            self.end_headers()
            self.wfile.write(found or b"")

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    store = ThreadingHTTPServer((STORE, 0), Store)
    thread = threading.Thread(target=store.serve_forever, daemon=True)
    thread.start()
    empty = tmp_path_factory.mktemp("served-vision")
    folder = write(empty / NAME, TINY)
    config = empty / "rerankd.toml"
    config.write_text(
        f'[media]\nallow = ["{STORE}:{store.server_port}"]\n'
        f'[model."{NAME}"]\ndevice = "cpu"\nprecision = "fp32"\n'
    )
    command = ["-m", "rerankd", "serve", "--port", "0", "--config", str(config)]
    with serving([*command, "--model", str(folder)]) as server:
        yield Service(server.url, f"http://{STORE}:{store.server_port}", files)
    store.shutdown()
    store.server_close()
    thread.join()


def known() -> list[tuple[Item, float]]:
    """Items with no instruction of their own and no video, and what transformers says of each."""
    pairs = zip(items(), golden()["tiny-vl"]["pairs"], strict=True)
    return [
        (item, logit)
        for item, logit in pairs
        if item.instruction is None and not isinstance(item.document, Clip) and item.kind != "video"
    ]


def sent(service: Service, side: Side, name: str, form: int) -> str | Json:
    """A side of a pair as a client writes it, images in one of three forms."""
    assert not isinstance(side, Clip)
    if isinstance(side, str):
        return (side, {"text": side})[form % 2]
    data = png(side)
    forms = (service.put(name, data), uri(data), base64.b64encode(data).decode())
    return {"image": forms[form % 3]}


def test_what_comes_over_the_wire_is_what_transformers_says(service: Service) -> None:
    for n, (item, logit) in enumerate(known()[::3]):
        query = sent(service, item.query, f"query-{n}.png", n)
        if isinstance(item.query, str):
            query = item.query
        document = sent(service, item.document, f"document-{n}.png", n + 1)
        body = {"query": query, "documents": [document, "another"], "raw_scores": True}
        results = service.ask("/v1/rerank", body)["results"]
        found = next(r["relevance_score"] for r in results if r["index"] == 0)
        assert abs(found - logit) < TOLERANCE, (item, found, logit)


def test_every_dialect_with_images_scores_them_alike(service: Service) -> None:
    chosen = [
        (item, logit)
        for item, logit in known()
        if isinstance(item.query, Picture) and isinstance(item.document, Picture)
    ]
    query = chosen[0][0].query
    group = [(item.document, logit) for item, logit in chosen if item.query == query]
    assert len(group) == 4
    images = [png(shown) for shown, _ in group if isinstance(shown, Picture)]
    urls = [service.put(f"group-{i}.png", data) for i, data in enumerate(images)]
    assert isinstance(query, Picture)
    asked = service.put("asked.png", png(query))
    plain = {
        "model": NAME,
        "query": {"image": asked},
        "documents": [{"image": url} for url in urls],
        "return_documents": True,
    }

    def part(url: str) -> Json:
        return {"content": [{"type": "image_url", "image_url": {"url": url}}]}

    bodies = {
        "/v1/rerank": plain,
        "/siliconflow/v1/rerank": plain,
        "/jina/v1/rerank": plain,
        "/vllm/v1/rerank": {**plain, "query": part(asked), "documents": [part(u) for u in urls]},
    }
    wanted = [1 / (1 + math.exp(-logit)) for _, logit in group]
    for path, body in bodies.items():
        answer = service.ask(path, body)
        found = {r["index"]: r["relevance_score"] for r in answer["results"]}
        assert [found[i] for i in range(4)] == pytest.approx(wanted, abs=TOLERANCE), path
        order = sorted(range(4), key=lambda i: -wanted[i])
        assert [r["index"] for r in answer["results"]] == order, path


def test_the_call_of_the_siliconflow_page(service: Service) -> None:
    """The image example of the page, its URLs on a store of ours."""
    query, first = (png(Picture(seed, 320, 256)) for seed in (1, 2))
    image = {"image": service.put("doc1.png", first)}
    answer = service.ask(
        "/v1/rerank",
        {
            "model": NAME,
            "query": {"image": service.put("query-image.png", query)},
            "documents": [image, "这是一个相关的文本文档..."],
            "max_chunks_per_doc": 512,
            "overlap_tokens": 20,
            "instruction": "Find the same picture.",
            "return_documents": True,
        },
    )
    echoed = {r["index"]: r["document"] for r in answer["results"]}
    assert echoed == {0: image, 1: {"text": "这是一个相关的文本文档..."}}
    tokens = answer["meta"]["tokens"]["image_tokens"]
    assert tokens == 3 * 80  # the query's image stands in both pairs: 10 x 8 tokens each
    assert answer["usage"]["prompt_tokens_details"]["image_tokens"] == tokens


def test_a_video_is_sampled_and_counted(service: Service) -> None:
    clip = movie(frames=60, fps=10, size=(96, 64))
    body = {"query": "a grey slope", "documents": [{"video": service.put("clip.mp4", clip)}, "x"]}
    answer = service.ask("/v1/rerank", body)
    tokens = answer["meta"]["tokens"]["image_tokens"]
    # 6 seconds at 1 frame a second are 6 frames, 3 pairs of them, each of 128 tokens at least
    assert tokens % 3 == 0
    assert tokens >= 3 * 128
    again = {**body, "documents": [{"video": uri(clip, "video/mp4")}, "x"]}
    scores = [
        {r["index"]: r["relevance_score"] for r in each["results"]}
        for each in (answer, service.ask("/v1/rerank", again))
    ]
    # which rows a call takes together depends on how fast the model was found to be
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)


def test_one_bad_image_fails_the_request_and_is_named(service: Service) -> None:
    good = service.put("good.png", png(Picture(5, 64, 64)))
    for bad, why in (
        (f"{service.store}/missing.png", "404"),
        (service.put("text.png", b"not an image at all"), "cannot be used"),
        (uri(png(Picture(6, 64, 64))[:-40]), "cannot be used"),
        ("http://127.0.0.1:1/x.png", "not allowed"),
    ):
        documents = [{"image": good}, {"image": bad}]
        answer = httpx2.post(
            f"{service.url}/v1/rerank", json={"query": "q", "documents": documents}, timeout=60
        )
        assert answer.status_code == 400, answer.text
        message = answer.json()["message"]
        assert message.startswith("documents[1]"), message
        assert why in message, message
