"""The wheel: built, installed into an empty environment without the network, and ranking there."""

from __future__ import annotations

import email.parser
import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
import trove_classifiers

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


def built(kind: str, source: Path, out: Path) -> Path:
    """Made by the build backend of pyproject.toml, which is a development dependency for this."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(out)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [made] = out.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


def test_what_ships_inside_fits_30_mb_and_names_its_licences(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as held:
        sizes = {entry.filename: entry.file_size for entry in held.infolist()}
    builtin = {n: size for n, size in sizes.items() if n.startswith("rerankd/builtin/")}
    assert "rerankd/builtin/mini/model.safetensors" in builtin
    assert 20_000_000 < sum(builtin.values()) <= BUILTIN_BYTES
    assert {Path(name).name for name in sizes} >= {"LICENSE", "NOTICE"}
    assert "rerankd/py.typed" in sizes  # its types are for type checkers of others
    assert all(name.startswith(("rerankd/", "rerankd-")) for name in sizes)


def test_its_metadata_is_complete(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as held:
        [name] = [name for name in held.namelist() if name.endswith(".dist-info/METADATA")]
        said = email.parser.Parser().parsestr(held.read(name).decode())
        licences = {
            Path(name).name: held.read(name).decode()
            for name in held.namelist()
            if ".dist-info/licenses/" in name
        }
    assert said["License-Expression"] == "Apache-2.0"
    assert set(said.get_all("License-File", [])) == set(licences) == {"LICENSE", "NOTICE"}
    assert licences["NOTICE"] == (ROOT / "NOTICE").read_text("utf-8")
    assert said["Description-Content-Type"] == "text/markdown"
    assert said.get_payload() == (ROOT / "README.md").read_text("utf-8")
    assert 10 <= len(said["Summary"]) <= 512
    assert said["Requires-Python"] == ">=3.11"
    named = said.get_all("Classifier", [])
    assert set(named) <= trove_classifiers.classifiers
    assert "Typing :: Typed" in named
    assert not [each for each in named if each.startswith("License ::")]  # the expression says it
    optional = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(said.get_all("Provides-Extra", [])) == set(optional["optional-dependencies"])


def test_the_source_distribution_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    archive = built("sdist", ROOT, tmp_path / "sdist")
    with tarfile.open(archive) as held:
        held.extractall(tmp_path / "source", filter="data")
    [source] = (tmp_path / "source").iterdir()
    tops = {path.name for path in source.iterdir()} - {".gitignore"}
    assert tops == {"src", "README.md", "LICENSE", "NOTICE", "pyproject.toml", "PKG-INFO"}
    again = built("wheel", source, tmp_path / "wheel")
    assert again.name == wheel.name
    assert again.read_bytes() == wheel.read_bytes()


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
