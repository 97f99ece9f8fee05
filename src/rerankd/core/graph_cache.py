"""Where compiled graphs are kept between two starts, and how many bytes of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphCache:
    """A folder of this user alone; what another version of rerankd wrote is not read."""

    folder: str
    limit_bytes: int  # of all graphs in it
    version: str  # rerankd's
