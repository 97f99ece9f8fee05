"""A URL as it may be shown and logged."""

from __future__ import annotations

import re
from typing import Final

_USER: Final = re.compile(r"(?<=://)([^:/?#@]*):.*@")  # the last @: a password may hold others
_QUERY: Final = re.compile(r"(?i)([?&][^=&#]*password=)[^&#]*")


def shown_url(url: str) -> str:
    """A URL without its passwords."""
    return _QUERY.sub(r"\1***", _USER.sub(r"\1:***@", url))
