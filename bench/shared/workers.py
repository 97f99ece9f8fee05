"""Workers as processes: each runs in an environment of its own and answers requests on a pipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from rerankd.measure.workload import Request

BENCH = Path(__file__).parents[1]
SRC = BENCH.parent / "src"
NOTHING: Mapping[str, str] = {}
# AVX2 and nothing newer, in the libraries' own words: oneDNN (in OpenVINO and torch), torch, MKL,
# the OpenBLAS in numpy.
AVX2_ONLY: Mapping[str, str] = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
}


class Answer(TypedDict):
    """What bench/peers/worker.py prints for one request."""

    scores: list[float]
    wall_s: float
    cpu_s: float


def environment(source: Path = SRC, more: Mapping[str, str] = NOTHING) -> dict[str, str]:
    """For every process that is timed: offline, all cores, rerankd from this checkout's src."""
    return {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "true",
        "OMP_NUM_THREADS": str(len(os.sched_getaffinity(0))),
        "PYTHONPATH": str(source),
        **more,
    }


class Worker:
    """One loaded engine in a process of its own."""

    def __init__(
        self,
        label: str,
        python: Path,
        script: str,
        *arguments: str,
        source: Path = SRC,
        more: Mapping[str, str] = NOTHING,
    ) -> None:
        """Start it, with rerankd from that folder; wait() until the model is loaded.

        `more` is added to its environment.
        """
        self.label = label
        self._log = Path(tempfile.gettempdir()) / f"bench-{label.replace(' ', '-')}.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own workers
                [str(python), str(BENCH / "peers" / script), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment(source, more),
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
        answer: Answer = self.told({"query": request.query, "documents": request.documents})
        return answer

    def told(self, message: object) -> Any:
        """Its answer to a line of JSON."""
        stdin = self._process.stdin
        if stdin is None:
            raise RuntimeError("no pipe")
        stdin.write(json.dumps(message) + "\n")
        stdin.flush()
        return self._read()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    def _read(self) -> Any:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError(f"{self.label} ended; see {self._log}")
        return json.loads(line)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """How an engine is started: its process, the precision that it computes in."""

    script: str  # in bench/peers
    arguments: tuple[str, ...] = ()  # after the checkpoint's folder
    environment: str = ""  # of bench/setup_peers.sh; "" = this one
    precision: str = "fp32"
    checkout: Path | None = None  # an earlier rerankd's, with its .venv

    def worker(self, label: str, peers: Path, folder: Path, more: Mapping[str, str]) -> Worker:
        """Its process on a checkpoint, starting."""
        python, source = Path(sys.executable), SRC
        if self.checkout:
            python, source = self.checkout / ".venv" / "bin" / "python", self.checkout / "src"
        elif self.environment:
            python = peers / self.environment / "bin" / "python"
        arguments = (str(folder), *self.arguments)
        return Worker(label, python, self.script, *arguments, source=source, more=more)


def _ours(precision: str, checkout: Path | None = None) -> Peer:
    return Peer(
        script="rerankd_worker.py",
        arguments=(precision,),
        precision=precision,
        checkout=checkout,
    )


def _sentence_transformers(backend: str, environment: str, precision: str) -> Peer:
    return Peer(
        script="sentence_transformers_worker.py",
        arguments=(backend, precision),
        environment=environment,
        precision=precision,
    )


OURS = "rerankd fp32"
DEFAULT_PEER = "sentence-transformers"
PEERS: Mapping[str, Peer] = {
    OURS: _ours("fp32"),
    "rerankd bf16": _ours("bf16"),
    "rerankd int8": _ours("int8"),
    DEFAULT_PEER: _sentence_transformers("torch", "st", "fp32"),
    "sentence-transformers ONNX": _sentence_transformers("onnx", "st-onnx", "fp32"),
    "sentence-transformers ONNX int8": _sentence_transformers("onnx", "st-onnx", "int8"),
    "sentence-transformers OpenVINO": _sentence_transformers("openvino", "st-openvino", "fp32"),
    "sentence-transformers OpenVINO bf16": _sentence_transformers(
        "openvino", "st-openvino", "bf16"
    ),
    "fastembed": Peer(script="fastembed_worker.py", environment="fastembed"),
    "torch, sorted": Peer(script="torch_sorted_worker.py", environment="st"),
}


def before(checkout: Path) -> dict[str, Peer]:
    """rerankd of an earlier checkout in fp32 and int8, named by its commit."""
    command = ["git", "-C", str(checkout), "rev-parse", "--short=7", "HEAD"]
    commit = subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()  # noqa: S603
    return {f"rerankd {commit} {each}": _ours(each, checkout) for each in ("fp32", "int8")}


def start(
    peers: Path, chosen: Mapping[str, Peer], folder: Path, more: Mapping[str, str] = NOTHING
) -> list[Worker]:
    """Workers on one checkpoint folder, loaded; `more` is added to their environment."""
    made = [peer.worker(label, peers, folder, more) for label, peer in chosen.items()]
    for worker in made:
        worker.wait()
    return made
