"""WebM and MKV files whose elements describe endlessly, refused before FFmpeg keeps them."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import pytest

from rerankd.media import video
from tests.kit.media_files import AV, movie, uri
from tests.kit.media_kit import VisionModel, limits, rank, refused, seeing

pytestmark = pytest.mark.timeout(1800)  # slow

DAMAGED = "the video is damaged or cut off"
TOO_MUCH = "bytes beside pictures and sound"
TOO_MANY = "more than 262144 blocks"
EBML = b"\x1a\x45\xdf\xa3"
SEGMENT, CLUSTER = b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75"
MANY = 1_000_000


def element(name: bytes, data: bytes) -> bytes:
    """An element with a size of eight bytes."""
    return name + (len(data) | 1 << 56).to_bytes(8, "big") + data


def endless(name: bytes, data: bytes) -> bytes:
    """An element that does not say how long it is, as live recorders write it."""
    return name + b"\x01" + b"\xff" * 7 + data


def webm(*parts: bytes) -> bytes:
    """A file of one segment."""
    return element(EBML, b"\x42\x82\x84webm") + element(SEGMENT, b"".join(parts))


def parts_of(data: bytes) -> tuple[bytes, bytes, bytes]:
    """A real file's header up to its first cluster, that cluster's content, and the rest."""
    at = data.index(CLUSTER)
    width = 9 - data[at + 4].bit_length()
    size = int.from_bytes(data[at + 4 : at + 4 + width], "big") & (1 << 7 * width) - 1
    start = at + 4 + width
    head = data[data.index(SEGMENT) + 12 : at]
    return head, data[start : start + size], data[start + size :]


def inside_cluster(extra: bytes) -> bytes:
    """A real file with more in its first cluster."""
    head, blocks, rest = parts_of(movie("webm", "libvpx"))
    return webm(head, element(CLUSTER, blocks + extra), rest)


def nested(depth: int) -> bytes:
    data = b""
    for _ in range(depth):
        data = element(b"\xa0", data)
    return data


ATTACKS: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty tags": (lambda: webm(element(b"\x12\x54\xc3\x67", b"\x73\x73\x80" * MANY)), TOO_MUCH),
    "empty attachments": (
        lambda: webm(element(b"\x19\x41\xa4\x69", b"\x61\xa7\x80" * MANY)),
        TOO_MUCH,
    ),
    "empty tracks": (lambda: webm(element(b"\x16\x54\xae\x6b", b"\xae\x80" * 2 * MANY)), TOO_MUCH),
    "empty things beside a block": (
        lambda: inside_cluster(element(b"\xa0", element(b"\xa1", b"x") + b"\xfb\x80" * 2 * MANY)),
        TOO_MANY,
    ),
    "one large thing beside a block": (
        lambda: inside_cluster(element(b"\xa0", element(b"\xfb", b"\0" * 3 * MANY))),
        TOO_MUCH,
    ),
    "empty blocks": (lambda: inside_cluster(b"\xa3\x80" * MANY), TOO_MANY),
    "groups in groups": (lambda: inside_cluster(nested(5000)), DAMAGED),
    "tags that do not end": (lambda: webm(endless(b"\x12\x54\xc3\x67", b"\x73\x73\x80")), DAMAGED),
    "an element longer than its segment": (
        lambda: webm(b"\x12\x54\xc3\x67\x9f\x73\x73\x80"),
        DAMAGED,
    ),
    "an id of no length": (lambda: webm(b"\0" * 64), DAMAGED),
    "a large EBML header": (
        lambda: element(EBML, b"\xec\x80" * 5000) + element(SEGMENT, b""),
        DAMAGED,
    ),
}


@pytest.mark.parametrize("name", list(ATTACKS))
async def test_it_is_refused(name: str) -> None:
    make, says = ATTACKS[name]
    async with seeing() as (client, _):
        await refused(client, "video", uri(make(), "video/webm"), says)


async def test_a_live_recording_that_says_no_lengths_is_read() -> None:
    head, blocks, _ = parts_of(movie("webm", "libvpx"))
    live = element(EBML, b"\x42\x82\x84webm") + endless(SEGMENT, head + endless(CLUSTER, blocks))
    model = VisionModel()
    async with seeing(model=model) as (client, _):
        await rank(client, {"video": uri(live, "video/webm")})
    assert model.seen


def test_a_seek_head_leads_nowhere() -> None:
    """It points into a block, where tags lie; FFmpeg would go there, had it a way to seek."""
    said = element(b"\x45\xa3", b"TITLE") + element(b"\x44\x87", b"found")
    tags = element(b"\x12\x54\xc3\x67", element(b"\x73\x73", element(b"\x67\xc8", said)))
    head, blocks, _ = parts_of(movie("webm", "libvpx"))

    def seek(position: int) -> bytes:
        place = b"\x53\xac\x84" + position.to_bytes(4, "big")
        entry = element(b"\x53\xab", b"\x12\x54\xc3\x67") + place
        return element(b"\x11\x4d\x9b\x74", element(b"\x4d\xbb", entry))

    position = len(seek(0)) + len(head) + 12 + len(blocks) + 9
    data = webm(seek(position), head, element(CLUSTER, blocks + element(b"\xec", tags)))
    with AV.open(BytesIO(data), format="matroska") as container:
        assert container.metadata["TITLE"] == "found"
    video.inspect("webm", data, limits(), lambda: None)
    with video.opened("webm", data, limits()) as stream:
        assert "TITLE" not in stream.container.metadata
