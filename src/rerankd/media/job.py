"""The images and videos of one request, from what the caller wrote to pixels."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeVar

from rerankd.core.errors import InvalidRequest, RerankError, StartError
from rerankd.core.media import Media, Source, VideoSampling
from rerankd.core.request import Content, Modality
from rerankd.media import animation, image, reference, sniff, video
from rerankd.media.budget import MediaBudget
from rerankd.media.fetch import Fetcher
from rerankd.media.reference import Inline
from rerankd.media.refused import Refused
from rerankd.media.sampling import VideoShape, places
from rerankd.media.sniff import Kind
from rerankd.media.structure import Shape
from rerankd.settings.schema import MediaSettings

T = TypeVar("T")
Wanted = tuple[Modality, str]  # what it is, what the caller wrote: equal ones are one

_AT_ONCE = 8  # fetches of one request


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What the requests of a server share."""

    limits: MediaSettings
    fetcher: Fetcher
    encoded: MediaBudget
    decoded: MediaBudget
    images: Executor
    videos: Executor  # its own: a video takes seconds, and images do not wait for it


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Coded:
    """Bytes that were looked into and found good, not yet decoded."""

    name: str  # of the document, for errors
    modality: Modality
    kind: Kind
    data: bytes
    digest: bytes
    source: Source
    shape: Shape | VideoShape
    decoded_bytes: int


class MediaJob:
    """One request's share of the budgets, from its first byte until its answer is made."""

    def __init__(self, shared: Resources, sampling: VideoSampling | None) -> None:
        self._shared = shared
        self._sampling = sampling
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._received = 0  # encoded bytes, ever
        self._encoded = 0  # held
        self._decoded = 0  # held
        self._running = 0  # threads that work for it
        self._stopped = threading.Event()

    async def run(self, contents: Sequence[tuple[str, Content]]) -> Mapping[Wanted, Media]:
        """Fetch, inspect, wait for room, decode.

        Args:
            contents: the images and videos, each with its field's name.

        Raises:
            InvalidRequest: one cannot be used; names it and says why.
            Overloaded: other requests' images and videos fill the memory.
        """
        limits = self._shared.limits
        if len(contents) > limits.items:
            raise InvalidRequest(
                f"documents: {len(contents)} images and videos were sent; the limit is "
                f"{limits.items} (media.items). Send fewer, in several requests.",
                param="documents",
            )
        wanted: dict[Wanted, str] = {}
        for name, content in contents:
            wanted.setdefault((content.modality, content.value), name)
        coded = await _all([self._coded(name, *each) for each, name in wanted.items()])
        distinct = {(each.modality, each.digest): each for each in reversed(coded)}
        need = sum(each.decoded_bytes for each in distinct.values())
        if need > limits.decoded_bytes:
            raise InvalidRequest(
                f"documents: the images and videos have {need} bytes decoded; the limit is "
                f"{limits.decoded_bytes} (media.decoded_bytes). Send fewer, in several requests, "
                "or smaller ones.",
                param="documents",
            )
        await self._shared.decoded.wait(need, limits.wait_s)
        self._decoded = need
        decoded = await _all([self._media(each) for each in distinct.values()])
        media = dict(zip(distinct, decoded, strict=True))
        found = {w: media[c.modality, c.digest] for w, c in zip(wanted, coded, strict=True)}
        del coded, distinct
        self._shared.encoded.give_back(self._encoded)
        self._encoded = 0
        return found

    def end(self) -> None:
        """The request is over: its threads stop at their next frame, then its bytes are free."""
        self._stopped.set()
        self._give_back()

    async def _coded(self, name: str, modality: Modality, value: str) -> Coded:
        """The bytes of one, inspected. Raises InvalidRequest, Overloaded."""
        with _named(name, modality):
            found = reference.read(value)
            limit = self._limit_bytes(modality)
            if isinstance(found, Inline):
                if found.about_bytes > limit + 2:  # + 2: padding
                    raise Refused(f"it has more than {limit} bytes ({_SETTINGS[modality]})")
                self._count(found.about_bytes)
                data = await self._on(self._shared.images, found.decode)
                source = found.source
            elif not self._shared.limits.fetch:
                raise Refused(
                    "this server fetches no URLs (media.fetch); send a data URI or base64"
                )
            else:
                async with self._turn:
                    data = await self._shared.fetcher.fetch(found, limit, self._count)
                source = "url"
            return await self._on(
                self._lane(modality), self._inspected, name, modality, data, source
            )

    def _inspected(self, name: str, modality: Modality, data: bytes, source: Source) -> Coded:
        """On a thread: what it is and how large. Raises Refused."""
        limits, kind = self._shared.limits, sniff.kind_of(data)
        shape: Shape | VideoShape
        if modality == "image":
            if kind not in sniff.IMAGES:
                raise Refused('it is a video; send it as {"video": …}')
            shape, frames = image.inspect(kind, data, limits), 1
        elif kind in sniff.IMAGES:
            if kind not in sniff.VIDEOS:
                raise Refused('it is a still image; send it as {"image": …}')
            shape = animation.inspect(kind, data, limits)
            frames = len(places(shape, self._how()))
        else:
            shape = video.inspect(kind, data, limits, self._alive)
            frames = len(places(shape, self._how()))
        return Coded(
            name=name,
            modality=modality,
            kind=kind,
            data=data,
            digest=sha256(data).digest(),
            source=source,
            shape=shape,
            decoded_bytes=frames * shape.width * shape.height * 3,
        )

    async def _media(self, coded: Coded) -> Media:
        with _named(coded.name, coded.modality):
            return await self._on(self._lane(coded.modality), self._decode, coded)

    def _decode(self, coded: Coded) -> Media:
        """On a thread: the pixels. Raises Refused."""
        self._alive()
        limits, kind, shape = self._shared.limits, coded.kind, coded.shape
        if isinstance(shape, Shape):
            pixels = image.decode(kind, coded.data, shape)
            return Media(
                frames=(pixels,),
                digest=coded.digest,
                format=kind,
                encoded_bytes=len(coded.data),
                source=coded.source,
            )
        at = places(shape, self._how())
        if kind in sniff.IMAGES:
            frames = animation.decode(kind, coded.data, at, shape, limits, self._alive)
        else:
            frames, shape, at = video.decode(
                kind, coded.data, self._how(), shape, limits, self._alive
            )
        return Media(
            frames=tuple(frames),
            digest=coded.digest,
            format=kind,
            encoded_bytes=len(coded.data),
            source=coded.source,
            seconds=tuple(place / shape.fps for place in at),
            source_frames=shape.frames,
            source_fps=shape.fps,
        )

    def _count(self, size: int) -> None:
        """Bytes came. Raises Refused, Overloaded."""
        limits = self._shared.limits
        limit = min(limits.request_bytes, limits.encoded_bytes)
        self._received += size
        if self._received > limit:
            raise Refused(
                f"the images and videos of the request have more than {limit} bytes "
                "(media.request_bytes); send fewer, in several requests",
                "too_large",
            )
        self._shared.encoded.take(size)
        self._encoded += size

    def _limit_bytes(self, modality: Modality) -> int:
        limits = self._shared.limits
        return limits.image_bytes if modality == "image" else limits.video_bytes

    def _lane(self, modality: Modality) -> Executor:
        return self._shared.images if modality == "image" else self._shared.videos

    def _how(self) -> VideoSampling:
        if self._sampling is None:
            raise Refused("this model reads no video")
        return self._sampling

    def _alive(self) -> None:
        if self._stopped.is_set():
            raise Refused("nobody waits for it any more", "cancelled")

    async def _on(self, threads: Executor, work: Callable[..., T], *arguments: Any) -> T:
        """Run on a thread. Cancelled, the thread goes on, and its bytes stay counted."""
        loop = asyncio.get_running_loop()
        future = threads.submit(work, *arguments)
        self._running += 1

        def ended(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and the server with it
                loop.call_soon_threadsafe(self._thread_ended)

        future.add_done_callback(ended)
        return await asyncio.wrap_future(future)

    def _thread_ended(self) -> None:
        self._running -= 1
        if self._stopped.is_set():
            self._give_back()

    def _give_back(self) -> None:
        if self._running:
            return
        self._shared.encoded.give_back(self._encoded)
        self._shared.decoded.give_back(self._decoded)
        self._encoded = self._decoded = 0


_SETTINGS: Mapping[Modality, str] = {"image": "media.image_bytes", "video": "media.video_bytes"}


async def _all(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Side by side; the first that fails ends the others, and is what is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
    except* RerankError as failed:
        raise _first(failed) from None
    return [task.result() for task in tasks]


def _first(group: BaseExceptionGroup[RerankError]) -> RerankError:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


@contextlib.contextmanager
def _named(name: str, modality: Modality) -> Generator[None]:
    """A refusal as the error of the document. Raises InvalidRequest."""
    try:
        yield
    except (Refused, StartError) as refused:
        reason = str(refused).rstrip(".")
        raise InvalidRequest(
            f"{name}: this {modality} cannot be used: {reason}.", param=name
        ) from None
