"""Workers as processes: each runs in an environment of its own and answers requests on a pipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

from rerankd.measure.workload import Request

BENCH = Path(__file__).parents[1]
SRC = BENCH.parent / "src"


class Answer(TypedDict):
    """What bench/peers/worker.py prints for one request."""

    scores: list[float]
    wall_s: float
    cpu_s: float


def environment(source: Path = SRC) -> dict[str, str]:
    """For every process that is timed: offline, all cores, rerankd from this checkout's src."""
    return os.environ | {
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "true",
        "OMP_NUM_THREADS": str(len(os.sched_getaffinity(0))),
        "PYTHONPATH": str(source),
    }


class Worker:
    """One loaded engine in a process of its own."""

    def __init__(
        self, label: str, python: Path, script: str, *arguments: str, source: Path = SRC
    ) -> None:
        """Start it, with rerankd from that folder; wait() until the model is loaded."""
        self.label = label
        self._log = Path(tempfile.gettempdir()) / f"bench-{label.replace(' ', '-')}.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own workers
                [str(python), str(BENCH / "peers" / script), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment(source),
            )
        self.ready_s = 0.0

    def wait(self) -> None:
        """Until the model is loaded; ready_s says how long the worker took for that.

        Raises:
            RuntimeError: it ended instead; its log is named.
        """
        self.ready_s = float(self._read()["ready_s"])

    def ask(self, request: Request) -> Answer:
        """Score one request."""
        stdin = self._process.stdin
        if stdin is None:
            raise RuntimeError("no pipe")
        message = {"query": request.query, "documents": request.documents}
        stdin.write(json.dumps(message) + "\n")
        stdin.flush()
        answer: Answer = self._read()
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    def _read(self) -> Any:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError(f"{self.label} ended; see {self._log}")
        return json.loads(line)


def start(peers: Path, names: Sequence[str], folder: Path) -> list[Worker]:
    """The named workers on one checkpoint folder, loaded."""
    made: list[Worker] = []
    for name in names:
        environment_name, script, *arguments = COMMANDS[name]
        python = peers / environment_name / "bin" / "python" if environment_name else None
        made.append(Worker(name, python or Path(sys.executable), script, str(folder), *arguments))
    for worker in made:
        worker.wait()
    return made


OURS = "rerankd fp32"
DEFAULT_PEER = "sentence-transformers"
# name -> environment of bench/setup_peers.sh ("" = this one), script, arguments after the folder
COMMANDS: dict[str, tuple[str, ...]] = {
    OURS: ("", "rerankd_worker.py", "fp32"),
    "rerankd int8": ("", "rerankd_worker.py", "int8"),
    DEFAULT_PEER: ("st", "sentence_transformers_worker.py", "torch"),
    "sentence-transformers ONNX": ("st-onnx", "sentence_transformers_worker.py", "onnx"),
    "sentence-transformers OpenVINO": (
        "st-openvino",
        "sentence_transformers_worker.py",
        "openvino",
    ),
    "fastembed": ("fastembed", "fastembed_worker.py"),
    "torch, sorted": ("st", "torch_sorted_worker.py"),
}
