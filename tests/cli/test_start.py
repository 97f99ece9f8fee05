"""What a server imports before it is ready, and what it prints when it is."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import rerankd
from rerankd.cli.lean import hidden
from rerankd.cli.serve import columns

# Each takes 0.01 to 0.06 s, of 0.4 s that all imports take; no server needs them to be ready.
UNUSED = (
    *("rich", "pygments", "cyclopts", "httpcore2", "h11", "importlib.metadata"),
    *("PIL", "av", "sqlalchemy", "numpy.random"),
)


def test_a_server_imports_nothing_that_it_can_do_without() -> None:
    code = (
        "import sys; from rerankd.cli import lean, serve\n"
        "with lean.hidden('rich'): import rerankd.web.server\n"
        "import rerankd.cli.plain, rerankd.models.mini\n"
        "from rerankd.engines.openvino import arithmetic, token_encoder\n"
        "assert arithmetic.int8_is_exact() in (True, False)\n"
        "assert arithmetic.bf16_is_right() in (True, False)\n"
        f"print([name for name in {UNUSED} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_version_is_the_one_of_the_project() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert rerankd.__version__ == project["project"]["version"]


def test_what_was_hidden_can_be_imported_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "this", raising=False)
    with hidden("this"), pytest.raises(ImportError):
        __import__("this")
    assert "this" not in sys.modules


def test_what_was_imported_before_stays_visible() -> None:
    with hidden("subprocess"):
        assert sys.modules["subprocess"] is subprocess
    assert sys.modules["subprocess"] is subprocess


def test_columns_are_as_wide_as_what_another_cell_follows() -> None:
    lines = columns([("model", "a", "cpu"), ("", "a long warning"), ("route", "abc", "d, e")])
    assert lines == ["model  a    cpu", "       a long warning", "route  abc  d, e"]
