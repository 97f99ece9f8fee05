"""`rerankd serve` with a fake model whose engine fails on some rows: run by tests as a process.

A batch with a row that holds the byte "!" raises. It takes 10 ms a row, so that requests meet.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from rerankd.core.rows import Logits, Row
from rerankd.engines.fake import FakeEngine
from rerankd.models.load import Loaded, Spec
from rerankd.settings.load import load as load_settings
from rerankd.web.server import serve
from rerankd.web.state import State
from tests.kit.support import BytesModel

POISON = ord("!")


class FailingEngine(FakeEngine):
    """Raises when it meets poison."""

    def forward(self, batch: Sequence[Row]) -> Logits:
        time.sleep(0.01 * len(batch))
        if any(POISON in row.ids for row in batch):
            raise RuntimeError("poison")
        return super().forward(batch)


def load(spec: Spec) -> Loaded:
    """The model under the name that was asked for."""
    return Loaded(model=BytesModel(spec.name, FailingEngine(max_length=None)), warnings=())


def announce(_: State, url: str) -> None:
    """For the test: where."""
    sys.stdout.write(f"on {url}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    flags = {("server", "port"): 0, ("server", "log"): "json"}
    serve(lambda: load_settings(None, os.environ, flags), announce, load=load)
