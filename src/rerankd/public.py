"""What the library is made of, for `import rerankd`, which takes it from here on first use.

These modules load msgspec, numpy and an engine; the command line's help shall not wait for them.
"""

from __future__ import annotations

from rerankd.core.answer import Hit, Ranking
from rerankd.core.errors import (
    EngineFailed,
    InvalidRequest,
    QueryTooLong,
    RerankError,
    StartError,
)
from rerankd.core.request import Content, RerankRequest
from rerankd.service.reranker import Reranker

__all__ = [
    "Content",
    "EngineFailed",
    "Hit",
    "InvalidRequest",
    "QueryTooLong",
    "Ranking",
    "RerankError",
    "RerankRequest",
    "Reranker",
    "StartError",
]
