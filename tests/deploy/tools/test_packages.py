"""The wheel as a registry and its users would take it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TWINE = Path(os.environ["DEPLOY_TOOLS"]) / "venv" / "bin" / "twine"
DATA = ROOT / "packages" / "rerankd-multi"


def run(*command: str | Path, cwd: Path) -> str:
    """What it prints on stdout; outside the project, whose constraints are not for users."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with wheel and source distribution, and the wheel of the multilingual model."""
    out = tmp_path_factory.mktemp("dist")
    hatch = [sys.executable, "-m", "hatchling", "build", "-d", out]
    run(*hatch, cwd=ROOT)
    run(*hatch, "-t", "wheel", cwd=DATA)
    return out


def test_a_registry_would_take_them(built: Path) -> None:
    made = sorted(built.iterdir())
    assert len(made) == 3
    run(TWINE, "check", "--strict", *made, cwd=built)


def test_it_installs_with_all_that_it_needs_into_an_empty_environment(
    built: Path, tmp_path: Path
) -> None:
    [wheel] = built.glob("rerankd-0*.whl")
    [data] = built.glob("rerankd_multi*.whl")
    run("uv", "venv", "-q", "--python", sys.executable, "env", cwd=tmp_path)
    python = tmp_path / "env" / "bin" / "python"
    wanted = [f"{wheel}[store,postgresql]", data]
    run("uv", "pip", "install", "-q", "--python", python, *wanted, cwd=tmp_path)
    run("uv", "pip", "check", "-q", "--python", python, cwd=tmp_path)
    (tmp_path / "documents.txt").write_text("Berlin\nParis is the capital of France\n")
    command = ["rank", "capital of France", "documents.txt", "--json"]
    said = run(tmp_path / "env" / "bin" / "rerankd", *command, cwd=tmp_path)
    assert '"line":2' in said.splitlines()[0].replace(" ", "")
    store = ["store", "migrate", "--store", f"sqlite:///{tmp_path}/rerankd.db"]
    run(tmp_path / "env" / "bin" / "rerankd", *store, cwd=tmp_path)
