"""All served dialects. Adding one: write its file, name it here."""

from __future__ import annotations

from rerankd.dialects import gateway, superset
from rerankd.dialects.base import Dialect

DIALECTS: tuple[Dialect, ...] = (superset.DIALECT, gateway.DIALECT)
ROOT = superset.DIALECT  # speaks for paths that no dialect claims


def dialect_of(path: str) -> Dialect:
    """The dialect whose prefix a path carries, else the root's: who renders a 404 or 405 there."""
    first = path.strip("/").split("/")[0]
    return next((dialect for dialect in DIALECTS if dialect.name == first), ROOT)
