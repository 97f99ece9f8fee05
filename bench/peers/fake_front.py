"""`rerankd serve --workers N` whose workers are `fake_worker.py`; for `bench/workers.py simulated`.

python fake_front.py WORKERS SECONDS_PER_BYTE
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rerankd.settings.load import load as load_settings
from rerankd.web.server import serve
from rerankd.web.state import State
from rerankd.workers import launch


def announce(_: State, url: str) -> None:
    """For who started it: where."""
    sys.stdout.write(f"on {url}\n")
    sys.stdout.flush()


def main() -> None:
    """Serve on a free port."""
    worker = str(Path(__file__).parent / "fake_worker.py")
    launch.PROGRAM = (sys.executable, worker, sys.argv[2])
    flags = {
        ("server", "port"): 0,
        ("server", "workers"): int(sys.argv[1]),
        ("models",): ["rerankd-lexical"],
    }
    serve(lambda: load_settings(None, os.environ, flags), announce)


main()
