"""A worker of `bench/workers.py simulated`: what scores sleeps so long for each byte of a document.

python fake_worker.py SECONDS_PER_BYTE FD CORES COUNT LOG
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # for tests.kit

from rerankd.engines.fake import FakeEngine
from rerankd.models.load import Loaded, Spec
from rerankd.workers.process import run
from tests.kit.support import BytesModel


def main() -> None:
    """Serve at the other end of the socket."""
    token_s = float(sys.argv[1])

    def load(spec: Spec) -> Loaded:
        engine = FakeEngine(max_length=None, batch_tokens=65_536, token_s=token_s)
        return Loaded(model=BytesModel(spec.name, engine), warnings=())

    run(int(sys.argv[2]), int(sys.argv[4]), sys.argv[5], load=load)


main()
