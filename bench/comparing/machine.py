"""What a run ran on."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from shared import workers

from comparing.engines import gemm_worker
from comparing.progress import Figures
from rerankd import __version__
from rerankd.engines.cores import usable_cores

FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")


def machine(peers: Path) -> Figures:
    """Processor, versions, load before the run, and what matrix products reach here."""
    before = os.getloadavg()[0]
    command = [peers / "st" / "bin" / "python", workers.BENCH / "peers" / "torch_gemm.py"]
    torch = subprocess.run(command, env=workers.environment(), capture_output=True, check=True)  # noqa: S603
    gemm = gemm_worker()
    peaks: list[dict[str, float]] = [gemm.told("measure") for _ in range(3)]
    gemm.close()
    info = Path("/proc/cpuinfo").read_text("utf-8")
    fields = [line.partition(":") for line in info.splitlines()]
    named = {name.strip(): value.strip() for name, _, value in fields}
    flags = named.get("flags", "").split()
    return {
        "cpu": named.get("model name", platform.machine()),
        "features": [flag for flag in FEATURES if flag in flags],
        "cores": usable_cores(),
        "python": platform.python_version(),
        "rerankd": __version__,
        "gemm_gflops": {name: [peak[name] for peak in peaks] for name in peaks[0]},
        "torch_gemm_gflops": float(torch.stdout),
        "load_at_start": before,
    }
