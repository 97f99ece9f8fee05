"""What a caller wrote for an image or a video: a URL, a data URI or base64. Never a path."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from rerankd.core.media import Source
from rerankd.media import url
from rerankd.media.refused import Refused
from rerankd.media.url import Target

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_DATA = re.compile(r"data:(?P<type>[^,]{0,512}),", re.IGNORECASE)
_SPACE = b" \t\r\n\f"  # base64 of mail and of some JSON writers is in lines
_STANDARD = bytes.maketrans(b"-_", b"+/")


@dataclass(frozen=True, slots=True)
class Inline:
    """Bytes that came with the request, still as text."""

    text: str  # the base64 part
    source: Source

    @property
    def about_bytes(self) -> int:
        """How many bytes it stands for, at most."""
        return len(self.text) * 3 // 4

    def decode(self) -> bytes:
        """The bytes. Raises Refused."""
        try:
            text = self.text.encode("ascii").translate(_STANDARD, _SPACE).rstrip(b"=")
            found = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
        except ValueError:  # UnicodeEncodeError and binascii.Error are
            raise Refused(_NOT_BASE64) from None
        if not found:
            raise Refused("it is empty")
        return found


_NOT_BASE64 = "it is no http(s) URL, no data URI and no base64; file names are not read"


def read(value: str) -> Target | Inline:
    """Tell which it is.

    Raises:
        Refused: another scheme, a data URI without base64, or a URL that cannot be taken.
    """
    if _SCHEME.match(value[:64]) is None:
        return Inline(value, "base64")
    if value[:5].lower() != "data:":
        return url.parse(value)
    found = _DATA.match(value)
    if found is None or not found["type"].lower().rstrip().endswith(";base64"):
        raise Refused("its data URI is not data:<type>;base64,<base64>")
    return Inline(value[found.end() :], "data-uri")
