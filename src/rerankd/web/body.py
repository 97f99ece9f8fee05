"""Request headers and body: checked and bounded before anything is parsed."""

from __future__ import annotations

import asyncio
import io
import zlib
from collections.abc import AsyncIterator, Mapping

from starlette.types import Receive

from rerankd.core.errors import BodyTimeout, BodyTooLarge, InvalidRequest, Overloaded

_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_PACKED_BYTES = 4096  # unpacked at once: what follows one of many members is copied each time
_UNPACKED_BYTES = 262_144  # at most, before the room for them is asked for
_SMALL_BYTES = 65_536  # a request that holds no more may use all of the room
_KEPT_FREE = 8  # the part of the room (1/8) that is kept for such requests


class ClientGone(Exception):
    """The client closed the connection; nobody waits for an answer."""


class InflightBytes:
    """Bodies and answers of all requests in progress: together they must not fill the memory."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.used = 0
        self.unpacking = asyncio.Lock()  # one piece of one body in a turn of the loop

    def take(self, size: int, *, own: int) -> None:
        """Reserve room beside the `own` bytes that the request holds already.

        Small requests find some room beside any number of large ones.

        Raises:
            Overloaded: other requests leave no room; a lone request always has some.
        """
        small = own + size <= _SMALL_BYTES
        room = self._limit if small else self._limit - self._limit // _KEPT_FREE
        if self.used > own and self.used + size > room:
            raise Overloaded(
                f"Requests in progress hold {self.used} of {self._limit} bytes "
                "(limits.inflight_bytes).",
                retry_after_s=1.0,
            )
        self.used += size

    def hold(self, size: int) -> None:
        """Count what is in memory already."""
        self.used += size

    def give_back(self, size: int) -> None:
        """Release what was taken."""
        self.used -= size


def content_length(headers: Mapping[str, str]) -> int | None:
    """Bytes of the body as it comes, where the headers tell."""
    length = headers.get("content-length", "")
    return int(length) if length.isdecimal() else None


def check_headers(headers: Mapping[str, str], *, limit_bytes: int, any_type: bool = False) -> None:
    """What can be refused from the headers alone; `any_type`: JSON may come under another name.

    Raises:
        BodyTooLarge: Content-Length is over the limit.
        InvalidRequest: not JSON, not UTF-8, or an encoding that is not gzip.
    """
    length = content_length(headers)
    if length is not None:
        _check_size(length, limit_bytes)
    content_type = headers.get("content-type", "application/json")
    media, *parameters = (part.strip().lower() for part in content_type.split(";"))
    subtype = media.partition("/")[2]
    if not any_type and media != "*/*" and subtype != "json" and not subtype.endswith("+json"):
        raise InvalidRequest(
            f"Content-Type: {content_type[:100]!r} is not JSON. Send application/json.",
            param="Content-Type",
        )
    charset = next((p[8:].strip('"') for p in parameters if p.startswith("charset=")), "utf-8")
    if charset not in ("utf-8", "utf8", "us-ascii", "ascii"):
        raise InvalidRequest(
            f"Content-Type: charset {charset[:40]!r} is not supported. Send UTF-8.",
            param="Content-Type",
        )
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise InvalidRequest(
            f"Content-Encoding: {encoding[:40]!r} is not supported. Send gzip, or no encoding.",
            param="Content-Encoding",
        )


async def read_body(
    receive: Receive,
    headers: Mapping[str, str],
    *,
    limit_bytes: int,
    limit_s: float,
    inflight: InflightBytes,
) -> bytes:
    """The whole body, unpacked, within its limits.

    The caller gives len(body) back to `inflight` when the request is done.

    Raises:
        BodyTooLarge: more than `limit_bytes`, unpacked.
        BodyTimeout: it did not arrive within `limit_s`.
        InvalidRequest: the gzip data is damaged or cut off.
        Overloaded: bodies in progress fill `inflight`.
        ClientGone: the connection was closed.
    """
    packed = headers.get("content-encoding", "").strip().lower() in ("gzip", "x-gzip")
    chunks = _chunks(receive)
    parts = _unpack(chunks, limit_bytes, inflight.unpacking) if packed else chunks
    body = io.BytesIO()
    size = 0
    try:
        async with asyncio.timeout(limit_s):
            async for part in parts:
                _check_size(size + len(part), limit_bytes)
                inflight.take(len(part), own=size)
                size += len(part)
                body.write(part)
    except TimeoutError:
        inflight.give_back(size)
        raise BodyTimeout(
            f"The body did not arrive within {limit_s:g} s (limits.body_s)."
        ) from None
    except BaseException:
        inflight.give_back(size)
        raise
    return body.getvalue()


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        if message.get("body"):
            yield message["body"]
        if not message.get("more_body", False):
            return


async def _unpack(
    chunks: AsyncIterator[bytes], limit_bytes: int, unpacking: asyncio.Lock
) -> AsyncIterator[bytes]:
    """gunzip, a piece at a time: a bomb stops where the limit is, and others run in between."""
    unpacker = zlib.decompressobj(_GZIP_WINDOW)
    packed = 0
    try:
        async for chunk in chunks:
            packed += len(chunk)
            _check_size(packed, limit_bytes)  # empty members unpack to nothing
            for at in range(0, len(chunk), _PACKED_BYTES):
                waiting = chunk[at : at + _PACKED_BYTES]
                while waiting:
                    if unpacker.eof:  # a gzip file may have several members
                        unpacker = zlib.decompressobj(_GZIP_WINDOW)
                    async with unpacking:
                        part = unpacker.decompress(waiting, _UNPACKED_BYTES)
                        await asyncio.sleep(0)
                    yield part
                    waiting = unpacker.unconsumed_tail or unpacker.unused_data
        if not unpacker.eof:
            raise InvalidRequest("The body is not valid gzip: it is cut off.")
    except zlib.error as error:
        reason = str(error).rpartition(": ")[2]
        raise InvalidRequest(f"The body is not valid gzip: {reason}.") from None


def _check_size(size: int, limit_bytes: int) -> None:
    if size > limit_bytes:
        raise BodyTooLarge(
            f"The body is over {limit_bytes} bytes (limits.body_bytes). Send fewer or shorter "
            "documents, in several requests: scores depend on other documents with listwise models "
            "only."
        )
