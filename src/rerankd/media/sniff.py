"""What bytes are, told from the bytes: a Content-Type, a name or a data URI's type says nothing."""

from __future__ import annotations

from typing import Literal

from rerankd.media.refused import Refused

Kind = Literal["png", "jpeg", "gif", "webp", "mp4", "webm"]

IMAGES = frozenset[Kind]({"png", "jpeg", "gif", "webp"})
VIDEOS = frozenset[Kind]({"mp4", "webm", "gif", "webp"})

_STILL_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis"}

# For the error only: nothing of these is opened.
_KNOWN = (
    (b"%PDF", "a PDF"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"II*\x00", "a TIFF"),
    (b"MM\x00*", "a TIFF"),
    (b"BM", "a BMP"),
    (b"8BPS", "a Photoshop file"),
    (b"\x00\x00\x01\x00", "an ICO"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "gzip"),
    (b"#EXTM3U", "a playlist"),
    (b"ffconcat", "a playlist"),
    (b"FLV", "Flash video"),
    (b"OggS", "Ogg"),
    (b"\x00\x00\x01\xba", "MPEG-1 or MPEG-2"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
)


def kind_of(data: bytes) -> Kind:
    """The format of an image or a video.

    Raises:
        Refused: it is none that is read; names what it seems to be.
    """
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[4:8] == b"ftyp":
        if data[8:12] in _STILL_BRANDS:
            raise Refused(f"it is HEIF or AVIF; {_WAY_OUT}")
        return "mp4"
    if data.startswith(b"\x1a\x45\xdf\xa3"):
        return "webm"
    raise Refused(f"it is {_guess(data)}; {_WAY_OUT}")


_WAY_OUT = "send PNG, JPEG, WebP or GIF; as a video MP4, MOV, WebM, MKV or an animated GIF or WebP"


def _guess(data: bytes) -> str:
    for start, name in _KNOWN:
        if data.startswith(start):
            return name
    if data[:4] == b"RIFF":
        return "AVI or sound"
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(b"<"):
        if b"<svg" in head:
            return "SVG"
        return "a playlist" if b"<mpd" in head else "HTML or XML"
    return "no image or video that is known here"
