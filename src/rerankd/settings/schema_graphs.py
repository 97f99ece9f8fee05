"""Settings of compiled graphs on the disk; see settings.schema."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from rerankd.core.graph_cache import GraphCache


class GraphSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Compiled graphs, kept on the disk between two starts."""

    folder: Annotated[
        str | None,
        Meta(description="A folder of this user alone for compiled graphs; unset = none are kept."),
    ] = None
    bytes: Annotated[
        int, Meta(ge=1, description="Graphs in it; those that were not used for longest go.")
    ] = 1_073_741_824

    def cache(self, version: str) -> GraphCache | None:
        """Where graphs of this version of rerankd are kept."""
        if self.folder is None:
            return None
        return GraphCache(folder=self.folder, limit_bytes=self.bytes, version=version)
