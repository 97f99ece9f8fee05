"""What is accepted: through the real app, from a real store."""

from __future__ import annotations

import base64
from collections.abc import Callable

import numpy as np
import pytest

from tests.kit.media_files import animation, movie, picture, uri
from tests.kit.media_kit import (
    STORE,
    VisionModel,
    bodies,
    media_of,
    rank,
    redirect,
    refused,
    reply,
    seeing,
    world,
)

PNG = picture()


IMAGES = {
    "png": lambda: picture("PNG"),
    "jpeg": lambda: picture("JPEG"),
    "webp": lambda: picture("WEBP"),
    "gif": lambda: picture("GIF"),
}
QUIET = {"x265-params": "log-level=none"}
VIDEOS: dict[str, tuple[Callable[[], bytes], str]] = {
    "mp4, H.264": (movie, "mp4"),
    "mp4, H.265": (lambda: movie("mp4", "libx265", options=QUIET), "mp4"),
    "mp4, MPEG-4": (lambda: movie("mp4", "mpeg4"), "mp4"),
    "mov": (lambda: movie("mov"), "mp4"),
    "webm, VP9": (lambda: movie("webm", "libvpx-vp9"), "webm"),
    "webm, VP8": (lambda: movie("webm", "libvpx"), "webm"),
    "webm, AV1": (lambda: movie("webm", "libsvtav1"), "webm"),
    "mkv": (lambda: movie("matroska"), "webm"),
    "animated gif": (lambda: animation(frames=30), "gif"),
    "animated webp": (lambda: animation("WEBP", frames=30), "webp"),
}


@pytest.mark.parametrize("form", IMAGES)
async def test_an_image_of_every_kind_from_every_source(form: str) -> None:
    data = IMAGES[form]()
    model = VisionModel()
    async with world() as around:
        url = around.serve("/a", data)
        async with seeing(around.values(), names=around.names, model=model) as (client, _):
            text = base64.b64encode(data).decode()
            lines = "\r\n".join(text[i : i + 40] for i in range(0, len(text), 40))
            safe = base64.urlsafe_b64encode(data).decode().rstrip("=")
            sources = [url, uri(data), f"DATA:;BASE64,{text}", text, lines, safe]
            for source, kind in zip(
                sources, ("url", "data-uri", "data-uri", *3 * ("base64",)), strict=True
            ):
                answer = await rank(client, {"image": source})
                (found,) = media_of(model)
                assert (found.width, found.height, found.format) == (20, 10, form)
                assert (found.source, found.encoded_bytes) == (kind, len(data))
                assert abs(found.frames[0].astype(int) - (10, 20, 30)).max() <= 6
                echo = answer["results"][0]["document"]
                assert echo == {"image": source}  # the caller's own object


@pytest.mark.parametrize("form", VIDEOS)
async def test_a_video_of_every_kind(form: str) -> None:
    make, kind = VIDEOS[form]
    model = VisionModel()
    async with world() as around:
        url = around.serve("/a", make())
        async with seeing(around.values(), names=around.names, model=model) as (client, _):
            await rank(client, {"video": url})
    (found,) = media_of(model)
    assert (found.format, found.source_frames, found.source_fps) == (kind, 30, 10.0)
    assert found.seconds == (0.0, 1.0, 1.9, 2.9)  # frames 0, 10, 19, 29
    step = 20 if "animated" in form else 8
    means = [int(frame.mean()) for frame in found.frames]
    assert np.abs(np.array(means) - [i * step % 256 for i in (0, 10, 19, 29)]).max() <= 6


@pytest.mark.parametrize("dialect", ["superset", "siliconflow", "jina", "vllm"])
async def test_every_dialect_reads_an_image(dialect: str) -> None:
    model = VisionModel()
    async with seeing(model=model) as (client, _):
        path, body = bodies("image", uri(PNG))[dialect]
        answer = await client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    assert [found.format for found in media_of(model)] == ["png"]


async def test_redirects_to_an_allowed_place_are_followed() -> None:
    model = VisionModel()
    async with world() as around:
        around.names.add("other.test", [STORE])
        around.store.routes["/a"] = redirect("/b?x=1", "301 Moved")
        around.store.routes["/b"] = redirect(around.url("/ä c".replace(" ", "%20"), "other.test"))
        around.store.routes["/%C3%A4%20c"] = reply(PNG, content_type="text/plain")
        async with seeing(around.values(), names=around.names, model=model) as (client, _):
            await rank(client, {"image": around.url("/a#part")})
    assert [found.format for found in media_of(model)] == ["png"]


async def test_an_allowed_name_opens_a_private_address_and_its_port() -> None:
    async with world() as around:
        url = around.serve("/a", PNG)
        values = around.values(allow=[f"images.test:{around.port}"], ports=[443])
        async with seeing(values, names=around.names) as (client, _):
            await rank(client, {"image": url})
            await refused(client, "image", around.url("/a", STORE), "(media.allow)")
