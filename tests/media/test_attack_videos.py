"""Bytes that pretend to be a video, and requests that want too much, refused in every dialect."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest

from tests.kit.media_files import AV, animation, box, movie, picture, uri
from tests.kit.media_kit import World, refused, seeing, world
from tests.kit.support import local

DAMAGED = "the video is damaged or cut off"
UNKNOWN = "no image or video that is known here"


def sound() -> bytes:
    """A Matroska file of sound alone."""
    out = BytesIO()
    with AV.open(out, "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = AV.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return out.getvalue()


def grows() -> bytes:
    """Raw MPEG-4 of two sizes, one after the other, in a container that names the first."""
    small, large = (movie("mp4", "mpeg4", frames=8, size=size) for size in ((64, 48), (128, 96)))
    out = BytesIO()
    with (
        AV.open(BytesIO(small)) as first,
        AV.open(BytesIO(large)) as second,
        AV.open(out, "w", format="matroska") as container,
    ):
        stream = container.add_stream_from_template(first.streams.video[0])
        at = 0
        for source in (first, second):
            header = source.streams.video[0].codec_context.extradata or b""
            for n, packet in enumerate(source.demux(source.streams.video[0])):
                if not packet.size:
                    continue
                new = AV.Packet((header if n == 0 else b"") + bytes(packet))
                new.pts = new.dts = at
                new.time_base = stream.time_base
                new.is_keyframe = n == 0
                new.stream = stream
                container.mux(new)
                at += 100
    return out.getvalue()


def noise(frames: int = 20, codec: str = "libx264") -> bytes:
    """A video whose damage cannot be overlooked."""
    out = BytesIO()
    random = np.random.default_rng(0)
    with AV.open(out, "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(frames):
            pixels = random.integers(0, 255, (48, 64, 3), np.uint8)
            container.mux(stream.encode(AV.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return out.getvalue()


def scrambled() -> bytes:
    """One byte of a frame changed: a decoder would rather guess."""
    data = noise(codec="mpeg4")
    at = data.index(b"mdat") + 4000
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def outside() -> bytes:
    """A MOV whose data reference is not marked as the file itself, but as another one."""
    data = movie("mov", "libx264")
    flags = data.index(b"dref") + 20
    assert data[flags - 4 : flags + 4] == b"url \0\0\0\1"
    return data[:flags] + bytes(4) + data[flags + 4 :]


M3U8 = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1/\n#EXT-X-ENDLIST\n"
HEADER = box(b"ftyp", b"isom\0\0\0\0isom")

# What is wrong -> the bytes, [media] settings, what the error says.
VIDEOS: dict[str, tuple[Callable[[], bytes], dict[str, Any], str]] = {
    "a playlist of a URL": (lambda: M3U8, {}, "it is a playlist"),
    "a playlist of a file": (lambda: M3U8.replace(b"http://127.0.0.1", b"file:"), {}, "a playlist"),
    "a list of parts": (lambda: b"ffconcat version 1.0\nfile /etc/passwd\n", {}, "a playlist"),
    "DASH": (lambda: b'<?xml version="1.0"?><MPD><BaseURL>/</BaseURL></MPD>', {}, "a playlist"),
    "a subtitle that is a playlist": (lambda: HEADER + M3U8, {}, DAMAGED),
    "a track in another file": (outside, {}, "lies in another file"),
    "AVI": (lambda: movie("avi", "mpeg4"), {}, "it is AVI or sound"),
    "MPEG": (lambda: movie("mpeg", "mpeg1video", fps=25), {}, "it is MPEG-1"),
    "MPEG-TS": (lambda: movie("mpegts"), {}, UNKNOWN),
    "Flash": (lambda: movie("flv"), {}, "it is Flash"),
    "raw frames": (lambda: movie("h264"), {}, UNKNOWN),
    "a codec that is not read": (lambda: movie("matroska", "mjpeg"), {}, "its codec is not read"),
    "sound alone": (sound, {}, "no video track"),
    "an image": (picture, {}, "it is a still image"),
    "a still GIF": (lambda: picture("GIF"), {}, "it is a still image"),
    "one frame": (lambda: movie(frames=1), {}, "it has 1 frames"),
    "frames too large": (
        lambda: movie(size=(640, 480), frames=4),
        {"frame_pixels": 300_000},
        "640 × 480 pixels per frame",
    ),
    "too many frames": (movie, {"video_frames": 20}, "more than 20 frames"),
    "too long": (lambda: movie(frames=60, fps=1), {"video_s": 30}, "it lasts 60 s"),
    "too slow to decode": (lambda: noise(300), {"decode_s": 0.01}, "more than 0.01 s"),
    "too slow an animation": (animation, {"decode_s": 1e-9}, "more than 1e-09 s"),
    "an animation too large": (animation, {"frame_pixels": 100}, "20 × 10 pixels per frame"),
    "an animation too long": (animation, {"video_s": 1}, "it lasts 1 s"),
    "a size that changes": (grows, {}, "the video changes its size"),
    "cut off": (lambda: noise()[:-3000], {}, DAMAGED),
    "cut off WebM": (lambda: movie("webm", "libvpx-vp9")[:-200], {}, DAMAGED),
    "a byte changed": (scrambled, {}, DAMAGED),
    "an index and no frames": (lambda: HEADER + box(b"moov", b""), {}, "no video track"),
    "boxes without end": (lambda: HEADER + box(b"free", b"") * 70_000, {}, DAMAGED),
    "video and script": (lambda: movie() + b"<script>alert(1)</script>", {}, DAMAGED),
    "an element of no length": (lambda: b"\x1a\x45\xdf\xa3" + bytes(40), {}, DAMAGED),
    "more bytes than allowed": (movie, {"video_bytes": 500}, "more than 500 bytes"),
}


@pytest.mark.parametrize("case", VIDEOS)
async def test_bytes_that_are_no_honest_video_are_refused(case: str) -> None:
    make, media, says = VIDEOS[case]
    async with seeing({"media": media}) as (client, state):
        await refused(client, "video", uri(make(), "video/mp4"), says)
        loader = local(state).pipeline.media
        assert loader is not None
        assert (loader.encoded.used_bytes, loader.decoded.used_bytes) == (0, 0)


@pytest.fixture
def images() -> list[dict[str, str]]:
    return [{"image": uri(picture(colour=(i, i, i)))} for i in range(6)]


WHOLE = {
    "too many images": ({"items": 5}, "6 images and videos were sent; the limit is 5"),
    "too many bytes together": ({"request_bytes": 300}, "more than 300 bytes (media.request"),
    "too many pixels together": ({"decoded_bytes": 3500}, "3600 bytes decoded; the limit is 3500"),
}


@pytest.mark.parametrize("case", WHOLE)
async def test_a_request_that_wants_too_much_is_refused(
    case: str, images: list[dict[str, str]]
) -> None:
    media, says = WHOLE[case]
    async with seeing({"media": media}) as (client, _):
        answer = await client.post("/v1/rerank", json={"query": "q", "documents": images})
        assert (answer.status_code, says in answer.json()["message"]) == (400, True), answer.text


async def test_too_many_fetched_bytes_together_are_refused() -> None:
    async with world() as around:
        urls = _files(around, 6)
        values = around.values(request_bytes=300)
        async with seeing(values, names=around.names) as (client, _):
            body = {"query": "q", "documents": [{"image": url} for url in urls]}
            answer = await client.post("/v1/rerank", json=body)
        assert "media.request_bytes" in answer.json()["message"]


def _files(around: World, count: int) -> list[str]:
    return [around.serve(f"/{i}.png", picture(colour=(i, i, i))) for i in range(count)]
