"""Each folder imports only what stands below it, so data flows one way."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src" / "rerankd"
FOLDERS = [
    "core",
    "engines",
    "dialects",
    "media",
    "models",
    "store",
    "service",
    "gateway",
    "web",
    "cli",
]  # lowest first
ROOT_MODULES = ["settings", "telemetry", "evals"]  # these import core only


def imported(path: Path) -> set[str]:
    """First name below rerankd of every rerankd import of a module."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "rerankd":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rerankd."):
            found.add(str(node.module).split(".")[1])
    return found


@pytest.mark.parametrize(
    "path", sorted(SRC.glob("*/**/*.py")), ids=lambda p: str(p.relative_to(SRC))
)
def test_imports_point_down(path: Path) -> None:
    folder = path.relative_to(SRC).parts[0]
    if folder == "builtin":
        assert imported(path) == set()
        return
    level = FOLDERS.index(folder)
    upward = [name for name in imported(path) if name in FOLDERS and FOLDERS.index(name) > level]
    assert upward == []


@pytest.mark.parametrize("name", ROOT_MODULES)
def test_root_modules_import_core_only(name: str) -> None:
    assert imported(SRC / f"{name}.py") <= {"core"}


@pytest.mark.parametrize("path", sorted((SRC / "core").glob("*.py")), ids=lambda p: p.name)
def test_core_is_pure(path: Path) -> None:
    forbidden = {"asyncio", "time", "os", "socket", "threading", "pathlib", "random", "logging"}
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module).split(".")[0])
    assert names & forbidden == set()
