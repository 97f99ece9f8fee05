"""The wheel: built, installed into an empty environment without the network, and ranking there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(1800)  # slow

ROOT = Path(__file__).parents[1]
BUILTIN_BYTES = 30_000_000
# Started before anything else in the environment: whoever wants to connect learns that it cannot.
NO_NETWORK = """
import socket


def refuse(*_):
    raise OSError("no network here")


socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
"""


def run(*command: str | Path, cwd: Path) -> str:
    """What it prints; a command that fails shows its errors."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "PIP_", "RERANKD_", "VIRTUAL_ENV"))
    }
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made by the build backend of pyproject.toml, which is a development dependency for this."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [made] = out.iterdir()
    return made


def test_what_ships_inside_fits_30_mb_and_names_its_licences(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as held:
        sizes = {entry.filename: entry.file_size for entry in held.infolist()}
    builtin = {n: size for n, size in sizes.items() if n.startswith("rerankd/builtin/")}
    assert "rerankd/builtin/mini/model.safetensors" in builtin
    assert 20_000_000 < sum(builtin.values()) <= BUILTIN_BYTES
    assert {Path(name).name for name in sizes} >= {"LICENSE", "NOTICE"}
    assert "rerankd/py.typed" in sizes  # its types are for type checkers of others
    assert all(name.startswith(("rerankd/", "rerankd-")) for name in sizes)


def test_it_ranks_in_an_empty_environment_without_the_network(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "environment"
    venv.create(home, with_pip=True, symlinks=os.name != "nt")
    names = {"base": str(home), "platbase": str(home)}
    scripts, packages = (
        Path(sysconfig.get_path(kind, scheme="venv", vars=names)) for kind in ("scripts", "purelib")
    )
    python = scripts / "python"
    run(python, "-m", "pip", "install", "-q", "--no-index", "--no-deps", wheel, cwd=tmp_path)
    # Its dependencies: of a .pth file's folders Python reads no .pth files, so that an editable
    # rerankd there stays out.
    dependencies = [sysconfig.get_path(kind) for kind in ("purelib", "platlib")]
    (packages / "no_network.py").write_text(NO_NETWORK)
    lines = [*dict.fromkeys(dependencies), "import no_network"]
    (packages / "dependencies.pth").write_text("\n".join(lines))

    where = run(python, "-c", "import rerankd; print(rerankd.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(packages)
    documents = tmp_path / "documents.txt"
    documents.write_text("A bowl of soup.\nAn automobile mechanic's garage.\n")
    command = ["rank", "car repair shop", documents, "--json"]
    printed = run(python, "-m", "rerankd", *command, cwd=tmp_path)
    hits = [json.loads(line) for line in printed.splitlines()]
    assert [hit["line"] for hit in hits] == [2, 1]  # no word is shared: the encoder told them apart
    assert hits[0]["relevance_score"] > hits[1]["relevance_score"] + 0.05
    assert run(scripts / "rerankd", *command, cwd=tmp_path) == printed
