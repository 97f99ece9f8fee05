"""What a request sends beside its body, counted: headers, trailers, chunk sizes and extensions."""

from __future__ import annotations

HEADER_BYTES = 65_536  # of headers and trailers, with all that chunks carry beside data
HEADER_FIELDS = 256  # headers and trailers
_CHUNK_BYTES = 20  # of a chunk's size and line ends, not counted as headers
_CHUNKS = 65_536  # of any size
_CHUNK_AVERAGE = 16  # bytes of data that further chunks must have on average


class TooMuch(Exception):
    """A bound of one request's framing is passed; the message says which."""


class Framing:
    """The counts of the request that is being read.

    The parser tells of bytes only when it gives them on, so the bytes around a body are those of
    a piece less those of the body in it; a piece that ends one request and begins the next counts
    for the latter. Bounds therefore hold to within one piece.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """A new request."""
        self._around = self._fields = self._chunks = self._body = self._body_of_piece = 0

    def field(self) -> None:
        """One header or trailer. Raises TooMuch."""
        self._fields += 1
        if self._fields > HEADER_FIELDS:
            raise TooMuch(f"The request has more than {HEADER_FIELDS} headers and trailers.")

    def chunk(self) -> None:
        """The start of one chunk. Raises TooMuch."""
        self._chunks += 1
        if self._chunks > _CHUNKS + self._body // _CHUNK_AVERAGE:
            raise TooMuch(f"The body comes in more than {_CHUNKS} chunks of a few bytes.")

    def body(self, size: int) -> None:
        """Bytes of the body."""
        self._body += size
        self._body_of_piece += size

    def piece(self, size: int) -> None:
        """The end of a piece of `size` bytes. Raises TooMuch."""
        self._around += size - self._body_of_piece
        self._body_of_piece = 0
        if self._around > HEADER_BYTES + _CHUNK_BYTES * self._chunks:
            raise TooMuch(f"The request headers and trailers are over {HEADER_BYTES} bytes.")
