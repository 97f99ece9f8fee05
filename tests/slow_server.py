"""`rerankd serve` with a slow fake model: one document of N bytes takes N/100 seconds.

Run by tests as a process of its own: python slow_server.py [CONFIG.toml]
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from support import BytesModel

from rerankd.core.types import Logits, Row
from rerankd.engines.fake import FakeEngine
from rerankd.models.load import Loaded, Spec
from rerankd.settings import load as load_settings
from rerankd.web.server import serve
from rerankd.web.state import State


class SlowEngine(FakeEngine):
    """Sleeps 10 ms per token of the document."""

    def forward(self, batch: Sequence[Row]) -> Logits:
        time.sleep(sum(row.tokens - row.second - 1 for row in batch) / 100)
        return super().forward(batch)


def load(spec: Spec) -> Loaded:
    """The slow model under the name that was asked for."""
    engine = SlowEngine(max_length=None, batch_tokens=32)
    return Loaded(model=BytesModel(spec.name, engine), warnings=())


def announce(_: State, url: str) -> None:
    """For the test: where."""
    sys.stdout.write(f"on {url}\n")
    sys.stdout.flush()


def main() -> None:
    """Serve on a free port."""
    config = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    flags = {("server", "port"): 0, ("server", "log"): "json"}
    serve(lambda: load_settings(config, os.environ, flags).settings, announce, load=load)


if __name__ == "__main__":
    main()
