"""The images and videos of requests, fetched and decoded: `Content.media`.

Per request: what is equal is fetched and decoded once, fetches run side by side, the first that
fails ends the others. Over all requests: two budgets. Encoded bytes are taken as they come, or
the request is refused; decoded bytes are waited for, for the whole request at once, before its
first pixel is decoded. A request that waits holds encoded bytes only: no two wait for each other.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace

from rerankd.core.media import VideoSampling
from rerankd.core.request import Content, RerankRequest
from rerankd.media.budget import MediaBudget
from rerankd.media.fetch import Fetcher, Observe
from rerankd.media.gate import Gate, Resolve, SystemResolver
from rerankd.media.job import MediaJob, Resources
from rerankd.settings.schema import MediaSettings


class MediaLoader:
    """Guards, fetches and decodes for all requests of a server."""

    def __init__(
        self, limits: MediaSettings, observe: Observe, *, resolve: Resolve | None = None
    ) -> None:
        """Nothing runs and nothing is opened yet.

        Args:
            limits: what the operator allows.
            observe: told how each fetch ended.
            resolve: host -> addresses; None = as the system resolves names.

        Raises:
            StartError: an entry of media.allow cannot be read.
        """
        self._resolver = SystemResolver()
        gate = Gate(resolve or self._resolver, allow=limits.allow, ports=limits.ports)
        self.encoded = MediaBudget(limits.encoded_bytes, "media.encoded_bytes")
        self.decoded = MediaBudget(limits.decoded_bytes, "media.decoded_bytes")
        self._images = ThreadPoolExecutor(limits.decoders, thread_name_prefix="decode-image")
        self._videos = ThreadPoolExecutor(limits.decoders, thread_name_prefix="decode-video")
        self._shared = Resources(
            limits=limits,
            fetcher=Fetcher(gate, limits, observe),
            encoded=self.encoded,
            decoded=self.decoded,
            images=self._images,
            videos=self._videos,
        )

    @asynccontextmanager
    async def resolve(
        self, request: RerankRequest, sampling: VideoSampling | None
    ) -> AsyncGenerator[RerankRequest]:
        """The request with `media` in every image and video; its pixels count until the end.

        Args:
            request: checked: the model reads these modalities.
            sampling: how the model reads video; None = it reads none.

        Raises:
            InvalidRequest: one cannot be used; names it and says why.
            Overloaded: other requests' images and videos fill the memory.
        """
        contents = [(name, content) for name, content in request.contents() if content.is_unread]
        if not contents:
            yield request
            return
        job = MediaJob(self._shared, sampling)
        try:
            media = await job.run(contents)

            def filled(content: Content) -> Content:
                found = media.get((content.modality, content.value))
                if found is None or not content.is_unread:
                    return content
                return replace(content, media=found)

            yield replace(
                request,
                query=filled(request.query),
                documents=tuple(filled(document) for document in request.documents),
            )
        finally:
            job.end()

    def close(self) -> None:
        """Stop the threads that decode and resolve."""
        for threads in (self._images, self._videos):
            threads.shutdown(wait=False, cancel_futures=True)
        self._resolver.close()
