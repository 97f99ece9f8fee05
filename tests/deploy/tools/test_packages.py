"""The wheel as a registry and its users would take it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TWINE = Path(os.environ["DEPLOY_TOOLS"]) / "venv" / "bin" / "twine"


def run(*command: str | Path, cwd: Path) -> str:
    """What it prints on stdout; outside the project, whose constraints are not for users."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with wheel and source distribution."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-d", out, cwd=ROOT)
    return out


def test_a_registry_would_take_both(built: Path) -> None:
    made = sorted(built.iterdir())
    assert len(made) == 2
    run(TWINE, "check", "--strict", *made, cwd=built)


def test_it_installs_with_all_that_it_needs_into_an_empty_environment(
    built: Path, tmp_path: Path
) -> None:
    [wheel] = built.glob("*.whl")
    run("uv", "venv", "-q", "--python", sys.executable, "env", cwd=tmp_path)
    python = tmp_path / "env" / "bin" / "python"
    wanted = f"{wheel}[store,postgresql]"
    run("uv", "pip", "install", "-q", "--python", python, wanted, cwd=tmp_path)
    run("uv", "pip", "check", "-q", "--python", python, cwd=tmp_path)
    (tmp_path / "documents.txt").write_text("Berlin\nParis is the capital of France\n")
    command = ["rank", "capital of France", "documents.txt", "--json"]
    said = run(tmp_path / "env" / "bin" / "rerankd", *command, cwd=tmp_path)
    assert '"line":2' in said.splitlines()[0].replace(" ", "")
    store = ["store", "migrate", "--store", f"sqlite:///{tmp_path}/rerankd.db"]
    run(tmp_path / "env" / "bin" / "rerankd", *store, cwd=tmp_path)
