"""rerankd: a rerank server and library.

>>> from rerankd import Reranker
>>> hits = Reranker().rank("capital of France", ["Berlin is in Germany.", "Paris, France"])

`Reranker(...)` raises StartError; `rank()` and `rerank()` raise InvalidRequest, its kind
QueryTooLong, and EngineFailed: all three are a RerankError.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rerankd.public import (
        Content,
        EngineFailed,
        Hit,
        InvalidRequest,
        QueryTooLong,
        Ranking,
        Reranker,
        RerankError,
        RerankRequest,
        StartError,
    )

__version__ = "0.1.0"  # as in pyproject.toml; importlib.metadata takes 0.02 s to say it
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
    "__version__",
]


def __getattr__(name: str) -> object:
    """The names of `rerankd.public` on first use: `import rerankd` stays light."""
    if name in __all__:
        from rerankd import public

        return getattr(public, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """With the names that were not used yet."""
    return sorted({*globals(), *__all__})
