"""Bytes that pretend to be an image: refused before or while they are decoded, in every dialect."""

from __future__ import annotations

import gzip
import struct
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO

import pytest
from PIL import Image, PngImagePlugin

from tests.kit.media_files import animation, chunk, movie, picture, png_of, uri
from tests.kit.media_kit import refused, seeing
from tests.kit.support import local

UNKNOWN = "no image or video that is known here"
DAMAGED = "is damaged or cut off"
PARTS = "absurd number of parts"
AFTER = "goes on after its end"
NOT_BASE64 = "no base64"


def archive() -> bytes:
    """A ZIP file; as a JAR it is code."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("META-INF/MANIFEST.MF", "Main-Class: Evil")
    return out.getvalue()


def noisy(form: str) -> bytes:
    """An image with some kilobytes of pixels, so that its second half matters."""
    out = BytesIO()
    Image.effect_noise((64, 64), 80).convert("RGB").save(out, form, quality=95)
    return out.getvalue()


def patched(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def png_text(kind: bytes) -> bytes:
    """A PNG whose one text unpacks to 40 MB."""
    packed = zlib.compress(bytes(40_000_000))
    start = {b"zTXt": b"a\0\0", b"iTXt": b"a\0\1\0\0\0", b"iCCP": b"a\0\0"}[kind]
    return png_of(4, 4, chunk(kind, start + packed))


def apng() -> bytes:
    out = BytesIO()
    frames = [Image.new("RGB", (8, 8), (i, 0, 0)) for i in range(3)]
    frames[0].save(out, "PNG", save_all=True, append_images=frames[1:])
    return out.getvalue()


def jpeg_of(width: int, height: int) -> bytes:
    """A JPEG whose header says another size than its pixels have."""
    data = picture("JPEG")
    at = data.index(b"\xff\xc0")
    return patched(data, at + 5, struct.pack(">HH", height, width))


def jpeg_scans(count: int) -> bytes:
    """A progressive JPEG with its last scan written many times: each goes over all pixels."""
    data = picture("JPEG", progressive=True)
    at = data.rindex(b"\xff\xda")
    return data[:at] + data[at:-2] * count + b"\xff\xd9"


def jpeg_twice() -> bytes:
    """A second frame header, after the size was looked at."""
    data = picture("JPEG")
    at = data.index(b"\xff\xc0")
    (size,) = struct.unpack_from(">H", data, at + 2)
    header = data[at : at + 2 + size]
    return data[: at + 2 + size] + patched(header, 5, b"\xff\xff\xff\xff") + data[at + 2 + size :]


def gif_frame_outside() -> bytes:
    """A canvas of 20 by 10 with a frame of 65535 by 65535."""
    data = picture("GIF")
    at = data.index(b"\x2c", 13)
    return patched(data, at + 5, b"\xff\xff\xff\xff")


def gif_bits() -> bytes:
    """A megabyte of blocks of one byte each: time, not pixels."""
    data = picture("GIF")
    at = data.index(b"\x2c", 13)
    return data[:at] + b"\x21\xfe" + b"\x01a" * 1_000_000 + b"\x00" + data[at:]


def webp_canvas() -> bytes:
    """A still WebP whose extended header says 16 million by 16 million."""
    body = picture("WEBP", lossless=True)[12:]
    inner = b"VP8X" + struct.pack("<I", 10) + bytes(4) + b"\xff" * 6 + body
    return b"RIFF" + struct.pack("<I", 4 + len(inner)) + b"WEBP" + inner


def tiff() -> bytes:
    return picture("TIFF")


def comments() -> bytes:
    info = PngImagePlugin.PngInfo()
    for i in range(100):
        info.add_text(f"key{i}", "text", zip=True)
    return picture("PNG", pnginfo=info)


SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/>'
    b"<script>fetch('http://127.0.0.1/')</script></svg>"
)
XXE = b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>'

# What is wrong -> the bytes, what the error says.
BYTES: dict[str, tuple[Callable[[], bytes], str]] = {
    "30k × 30k PNG": (lambda: png_of(30_000, 30_000, pixels=b"\0"), "30000 × 30000 pixels"),
    "2^31 × 1 PNG": (lambda: png_of(2**31 - 1, 1, pixels=b"\0"), "2147483647 × 1 pixels"),
    "0 × 9 PNG": (lambda: png_of(0, 9, pixels=b"\0"), DAMAGED),
    "a PNG with too few pixels": (lambda: png_of(500, 500, pixels=b"\0" * 99), DAMAGED),
    "a PNG cut off": (lambda: noisy("PNG")[:-2000], DAMAGED),
    "a PNG with its end cut off": (lambda: picture()[:-12], DAMAGED),
    "a PNG with a wrong checksum": (
        lambda: patched(picture(), picture().index(b"IDAT") + 6, b"\x55\x55"),
        DAMAGED,
    ),
    "a PNG with two headers": (
        lambda: png_of(4, 4, chunk(b"IHDR", struct.pack(">IIBBBBB", 300, 300, 8, 0, 0, 0, 0))),
        "not as large as it says",
    ),
    "a PNG with a text bomb": (lambda: png_text(b"zTXt"), DAMAGED),
    "a PNG with an international text bomb": (lambda: png_text(b"iTXt"), DAMAGED),
    "a PNG with a profile bomb": (lambda: png_text(b"iCCP"), DAMAGED),
    "a PNG with 100 packed texts": (comments, PARTS),
    "a PNG of 70,000 chunks": (lambda: png_of(4, 4, *[chunk(b"abCd", b"")] * 70_000), PARTS),
    "a PNG with a chunk of 4 GB": (lambda: png_of(4, 4, b"\xff\xff\xff\xffabCd"), DAMAGED),
    "an animated PNG": (apng, "an animation of 3 frames"),
    "PNG and ZIP": (lambda: picture() + archive(), AFTER),
    "PNG and HTML": (lambda: picture() + b"<script>alert(1)</script>", AFTER),
    "65500 × 65500 JPEG": (lambda: jpeg_of(65_500, 65_500), "65500 × 65500 pixels"),
    "a JPEG cut off": (lambda: noisy("JPEG")[:-1500], DAMAGED),
    "a JPEG with two frame headers": (jpeg_twice, DAMAGED),
    "a JPEG of 1000 scans": (lambda: jpeg_scans(1000), PARTS),
    "a JPEG of fill bytes": (lambda: b"\xff\xd8" + b"\xff" * 1_000_000, DAMAGED),
    "a GIF with a frame outside": (gif_frame_outside, "65535 × 65535 pixels"),
    "an animated GIF": (animation, "an animation of 12 frames"),
    "a GIF of tiny blocks": (gif_bits, PARTS),
    "a GIF cut off": (lambda: noisy("GIF")[:-900], DAMAGED),
    "a GIF with no picture": (lambda: picture("GIF")[:13] + b"\x3b", DAMAGED),
    "GIF and JAR": (lambda: picture("GIF") + archive(), AFTER),
    "GIF and JavaScript": (lambda: b"GIF89a/*" + b"x" * 99 + b"*/=1;alert(1)", DAMAGED),
    "a WebP that says it is longer": (
        lambda: patched(picture("WEBP"), 4, struct.pack("<I", 999_999)),
        DAMAGED,
    ),
    "a WebP cut off": (lambda: noisy("WEBP")[:-300], DAMAGED),
    "a WebP with an absurd canvas": (webp_canvas, "16777216 × 16777216 pixels"),
    "an animated WebP": (lambda: animation("WEBP"), "an animation of 12 frames"),
    "WebP and ZIP": (lambda: picture("WEBP") + archive(), AFTER),
    "SVG with a script": (lambda: SVG, "it is SVG"),
    "SVG with an external entity": (lambda: XXE, "it is SVG"),
    "HTML": (lambda: b"<!doctype html><html><body>", "it is HTML"),
    "PDF": (lambda: b"%PDF-1.7\n", "it is a PDF"),
    "PDF before an image": (lambda: b"%PDF-1.7\n" + picture(), "it is a PDF"),
    "PostScript": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n", "it is PostScript"),
    "ImageMagick script": (lambda: b"push graphic-context\nfill 'url(http://127.0.0.1)'", UNKNOWN),
    "TIFF": (tiff, "it is a TIFF"),
    "BMP": (lambda: picture("BMP"), "it is a BMP"),
    "ICO": (lambda: picture("ICO"), "it is an ICO"),
    "AVIF": (lambda: b"\0\0\0\x1cftypavif" + bytes(99), "HEIF or AVIF"),
    "JPEG 2000": (lambda: picture("JPEG2000"), "it is JPEG 2000"),
    "ZIP": (archive, "it is a ZIP"),
    "gzip": (lambda: gzip.compress(picture()), "it is gzip"),
    "a script": (lambda: b"#!/bin/sh\nid\n", UNKNOWN),
    "a pickle": (lambda: b"\x80\x04\x95" + bytes(50), UNKNOWN),
    "a video": (movie, "it is a video"),
    "only the first bytes of a PNG": (lambda: picture()[:8], DAMAGED),
    "more bytes than allowed": (lambda: bytes(400_000), "more than 300000 bytes"),
}


@pytest.mark.parametrize("case", BYTES)
async def test_bytes_that_are_no_honest_image_are_refused(case: str) -> None:
    make, says = BYTES[case]
    data = make()
    big = {"image_bytes": 300_000} if case.startswith("more") else {}
    async with seeing({"media": big}) as (client, state):
        await refused(client, "image", uri(data, "image/png"), says)
        media = local(state).pipeline.media
        assert media is not None
        assert (media.encoded.used_bytes, media.decoded.used_bytes) == (0, 0)


TEXTS = {
    "a character that is not base64": ("aGVsbG8!", NOT_BASE64),
    "characters after the padding": ("aGVsbG8=aGVsbG8", NOT_BASE64),
    "one character": ("a", NOT_BASE64),
    "letters of another script": ("ÄÖÜß", NOT_BASE64),
    "nothing": ("", "it is empty"),
    "only spaces": ("  \n", "it is empty"),
    "base64 of base64": ("YVZaQ1QxSjNNRXRIWjI5QlFVRkI=", UNKNOWN),
    "a data URI in a data URI": ("data:image/png;base64,data:image/png;base64,AAAA", NOT_BASE64),
}


@pytest.mark.parametrize("case", TEXTS)
async def test_text_that_is_no_base64_of_an_image_is_refused(case: str) -> None:
    value, says = TEXTS[case]
    async with seeing() as (client, _):
        await refused(client, "image", value, says)
