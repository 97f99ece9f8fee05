"""`rerankd serve` with `rerankd-lexical` that takes PACE_S for each row, and a short queue.

Run by full_queue.py as a process of its own: python slow_lexical.py CONFIG.toml
"""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from rerankd.core.rows import Logits, Row
from rerankd.engines.base import EngineInfo
from rerankd.engines.lexical import LexicalEngine
from rerankd.models.lexical import LexicalModel
from rerankd.models.load import Loaded, Spec
from rerankd.settings.load import load as load_settings
from rerankd.web.server import serve
from tests.kit.slow_server import announce

PACE_S = 0.1


class SlowEngine(LexicalEngine):
    """One row at a time."""

    @property
    def info(self) -> EngineInfo:
        return dataclasses.replace(super().info, batch_tokens=1)

    def forward(self, batch: Sequence[Row]) -> Logits:
        time.sleep(PACE_S * len(batch))
        return super().forward(batch)


def load(_: Spec) -> Loaded:
    """The one model."""
    return Loaded(model=LexicalModel(SlowEngine()), warnings=())


def main() -> None:
    """Serve on a free port."""
    flags = {("server", "port"): 0, ("server", "log"): "json"}
    serve(lambda: load_settings(Path(sys.argv[1]), os.environ, flags), announce, load=load)


if __name__ == "__main__":
    main()
