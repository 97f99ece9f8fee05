"""`rerankd serve` with a model for which a document of any length costs next to nothing.

Run by tests as a process of its own: python echo_server.py
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the root: this is run by its path

from rerankd.core.meter import Meter
from rerankd.core.request import RerankRequest
from rerankd.core.rows import Prepared
from rerankd.models.load import Loaded, Spec
from rerankd.settings.load import load as load_settings
from rerankd.web.server import serve
from tests.kit.slow_server import announce
from tests.kit.support import BytesModel, row


class ShortModel(BytesModel):
    """Three tokens per document, whatever its length."""

    def prepare(self, request: RerankRequest, meter: Meter | None = None) -> Prepared:
        """One row per document."""
        rows = tuple(row(0, 1, 2 + len(d.value) % 250) for d in request.documents)
        (meter or Meter()).add(sum(r.tokens for r in rows))
        return Prepared(rows=rows, owners=tuple(range(len(rows))))


def load(spec: Spec) -> Loaded:
    """The model under the name that was asked for."""
    return Loaded(model=ShortModel(spec.name), warnings=())


def main() -> None:
    """Serve on a free port."""
    flags = {("server", "port"): 0, ("server", "log"): "json"}
    serve(lambda: load_settings(None, os.environ, flags), announce, load=load)


if __name__ == "__main__":
    main()
