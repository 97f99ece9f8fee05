"""Who answered a routed name, on which scale: headers that are the same in every dialect.

`x-rerankd-route` and `x-rerankd-space` are percent-encoded where a name has what a header may not
hold. A caller sends `x-rerankd-space` to insist on a scale.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from urllib.parse import quote, unquote

from rerankd.core.answer import RouteFacts
from rerankd.core.errors import InvalidRequest

ROUTE_HEADER, SPACE_HEADER = "x-rerankd-route", "x-rerankd-space"
_SPACE_CHARACTERS = 500  # of a name that a caller may ask for
_PLAIN = (string.punctuation + " ").replace("%", "")


def route_headers(route: RouteFacts | None) -> dict[str, str]:
    """The headers of an answer; none when no route was asked."""
    if route is None:
        return {}
    return {
        ROUTE_HEADER: quote(route.label, safe=_PLAIN),
        SPACE_HEADER: quote(route.space, safe=_PLAIN),
    }


def asked_space(headers: Mapping[str, str]) -> str | None:
    """The scale that the caller insists on; None: any.

    Raises:
        InvalidRequest: a name longer than any space's.
    """
    value = headers.get(SPACE_HEADER, "").strip()
    if len(value) > _SPACE_CHARACTERS:
        raise InvalidRequest(
            f"{SPACE_HEADER}: {len(value)} characters were sent; the limit is {_SPACE_CHARACTERS}.",
            param=SPACE_HEADER,
        )
    return unquote(value) or None
