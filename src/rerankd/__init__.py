"""rerankd: a rerank server and library.

>>> from rerankd import Reranker
>>> hits = Reranker().rank("capital of France", ["Berlin is in Germany.", "Paris, France"])
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rerankd.service.reranker import Reranker

__version__ = version("rerankd")
__all__ = ["Reranker", "__version__"]


def __getattr__(name: str) -> object:
    """Reranker on first use: `import rerankd` stays light for the command line."""
    if name == "Reranker":
        from rerankd.service.reranker import Reranker

        return Reranker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
