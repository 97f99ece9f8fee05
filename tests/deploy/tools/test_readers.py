"""Each file of deploy/, read by the program that it is for."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
TOOLS = Path(os.environ["DEPLOY_TOOLS"])
BIN = TOOLS / "venv" / "bin"
MANIFESTS = [
    path
    for path in sorted((DEPLOY / "kubernetes").rglob("*.yaml"))
    if path.name not in ("kustomization.yaml", "adapter-rules.yaml")  # of other programs
]
EXPOSURE = 2.0  # of 10, where 10 may everything


def run(*command: str | Path, cwd: Path = ROOT, status: int = 0) -> str:
    """What it prints, on both."""
    done = subprocess.run(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == status, done.stdout
    return done.stdout


def unit(folder: Path) -> Path:
    """The unit, of a program that is here."""
    text = (DEPLOY / "systemd" / "rerankd.service").read_text()
    program = Path(sys.executable).with_name("rerankd")
    assert program.exists()
    made = folder / "rerankd.service"
    made.write_text(text.replace("/opt/rerankd/bin/rerankd", str(program)))
    return made


def test_systemd_finds_nothing_in_the_unit(tmp_path: Path) -> None:
    assert run("systemd-analyze", "verify", "--man=no", unit(tmp_path)) == ""


def test_systemd_finds_a_line_that_it_does_not_know(tmp_path: Path) -> None:
    made = unit(tmp_path)
    made.write_text(made.read_text().replace("WatchdogSec=60", "WatchdogSecs=60"))
    assert "WatchdogSecs" in run("systemd-analyze", "verify", "--man=no", made)


def test_the_unit_may_little(tmp_path: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager"]
    said = run(*command, f"--threshold={EXPOSURE * 10:.0f}", unit(tmp_path))
    [found] = re.findall(r"Overall exposure level for rerankd\.service: ([\d.]+)", said)
    page = (ROOT / "docs" / "deploy.md").read_text()
    assert f"gives it {found} of 10" in page


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_a_manifest_is_of_kubernetes_schemas(path: Path) -> None:
    assert "passed for resource" in run(BIN / "kubernetes-validate", "--strict", path)


def test_a_manifest_with_a_wrong_name_is_refused(tmp_path: Path) -> None:
    text = (DEPLOY / "kubernetes" / "deployment.yaml").read_text()
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(text.replace("readOnlyRootFilesystem", "readonlyRootFilesystem"))
    run(BIN / "kubernetes-validate", "--strict", wrong, status=1)


def test_compose_is_of_its_schema(tmp_path: Path) -> None:
    command = [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec"]
    run(*command, DEPLOY / "compose.yaml")
    wrong = tmp_path / "compose.yaml"
    wrong.write_text((DEPLOY / "compose.yaml").read_text().replace("read_only:", "readonly:"))
    run(*command, wrong, status=1)


def test_the_containerfile_has_nothing_to_complain_of() -> None:
    script = (
        "const {validate} = require('dockerfile-utils');"
        "const text = require('fs').readFileSync(process.argv[1], 'utf8');"
        "console.log(JSON.stringify(validate(text)))"
    )
    said = run("node", "-e", script, DEPLOY / "Containerfile", cwd=TOOLS / "node")
    assert json.loads(said) == []


def test_shell_scripts_are_shell() -> None:
    for path in (ROOT / "tests" / "deploy").glob("*.sh"):
        run("bash", "-n", path)
