"""`rerankd serve` with a slow fake model: one document of N bytes takes N/100 seconds.

Run by tests as a process of its own: python slow_server.py [CONFIG.toml]
A model folder says how its load goes: with a file `waits` it ends when there is a file `go`; a file
`raises` has the name of what it then raises (RAISES). With a file `holds` its batches end then.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the root: this is run by its path

from rerankd.core.errors import StartError
from rerankd.core.rows import Logits, Row
from rerankd.engines.fake import FakeEngine
from rerankd.models.load import Loaded, Spec
from rerankd.settings.load import load as load_settings
from rerankd.web.server import serve
from rerankd.web.state import State
from tests.kit.support import BytesModel


def wait_for_go(folder: Path | None, reason: str) -> None:
    """Return when the folder has no file of that name, or one named go."""
    while folder is not None and (folder / reason).exists() and not (folder / "go").exists():
        time.sleep(0.02)


class SlowEngine(FakeEngine):
    """Sleeps 10 ms per token of the document; or until its folder lets it go."""

    folder: Path | None = None

    def forward(self, batch: Sequence[Row]) -> Logits:
        wait_for_go(self.folder, "holds")
        time.sleep(sum(row.tokens - row.second - 1 for row in batch) / 100)
        return super().forward(batch)


class Panic(BaseException):
    """As a panic in a Rust library: no Exception."""


RAISES: dict[str, BaseException] = {
    "OSError": OSError(5, "Input/output error", "/models/x/model.safetensors"),
    "PermissionError": PermissionError(13, "Permission denied", "/models/x/model.safetensors"),
    "MemoryError": MemoryError(),
    "StopIteration": StopIteration("no more"),
    "SystemExit": SystemExit(7),
    "Panic": Panic("index out of bounds"),
    "StartError": StartError("The model is of an unsupported kind."),
}


def load(spec: Spec) -> Loaded:
    """The slow model under the name that was asked for, if its folder lets it."""
    wait_for_go(spec.folder, "waits")
    if spec.folder is not None and (spec.folder / "raises").exists():
        raise RAISES[(spec.folder / "raises").read_text()]
    engine = SlowEngine(max_length=None, batch_tokens=32)
    engine.folder = spec.folder
    return Loaded(model=BytesModel(spec.name, engine), warnings=())


def announce(_: State, url: str) -> None:
    """For the test: where."""
    sys.stdout.write(f"on {url}\n")
    sys.stdout.flush()


def main() -> None:
    """Serve on a free port, or the one in SLOW_SERVER_PORT."""
    config = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    flags = {
        ("server", "port"): int(os.environ.get("SLOW_SERVER_PORT", "0")),
        ("server", "log"): "json",
    }
    try:
        serve(lambda: load_settings(config, os.environ, flags), announce, load=load)
    except StartError as error:
        sys.exit(f"rerankd: {error}")


if __name__ == "__main__":
    main()
