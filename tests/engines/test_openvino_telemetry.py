"""OpenVINO's telemetry neither sends nor writes anything, nor starts a thread."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import json, socket, sys, threading

opened = []
def audit(event, args):
    if event.startswith("socket."):
        opened.append(event)
    if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        opened.append(f"write {args[0]}")
    if event == "os.mkdir":
        opened.append(f"mkdir {args[0]}")
sys.addaudithook(audit)
sys.dont_write_bytecode = True

from rerankd.engines.openvino.runtime import ops, ov
%s
model = ov.Model([ops.result(ops.add(p := ops.parameter([2], ov.Type.f32), p))], [p], "m")
ov.Core().compile_model(model, "CPU").create_infer_request().infer()
print(json.dumps({
    "opened": opened,
    "threads": [thread.name for thread in threading.enumerate()],
    "telemetry": [m for m in sys.modules if "telemetry" in m and sys.modules[m] is not None],
}))
"""


def run(tmp_path: Path, extra: str = "") -> dict[str, list[str]]:
    """What a fresh process with an empty home did, as an opted-in user outside of CI."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in {"CI", "TF_BUILD", "JENKINS_URL"}
    }
    environment["HOME"] = str(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT % extra],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_loading_and_running_openvino_sends_and_writes_nothing(tmp_path: Path) -> None:
    did = run(tmp_path)
    assert did == {"opened": [], "threads": ["MainThread"], "telemetry": []}
    assert list(tmp_path.iterdir()) == []


def test_a_later_import_of_the_converter_stays_silent(tmp_path: Path) -> None:
    did = run(tmp_path, "import openvino.tools.ovc")
    assert did["threads"] == ["MainThread"]
    assert not [event for event in did["opened"] if event.startswith("socket.")]
    assert list(tmp_path.iterdir()) == []


def test_only_one_module_imports_openvino() -> None:
    source = Path(__file__).parents[2] / "src" / "rerankd"
    importers = [
        path.name
        for path in source.rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.startswith(("import openvino", "from openvino"))
        or 'import_module("openvino' in line
    ]
    assert set(importers) == {"runtime.py"}
