"""Every section of quickstart.md is run from top to bottom, as one shell session."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from reading import DOCS, Block, blocks

from rerankd.cli.commands import app

PAGE = DOCS / "quickstart.md"
ROOT = Path(__file__).parents[2]
PATIENCE_S = 240
PROGRAMS = ("curl", "openssl", "python", "rerankd")
# What the page says that a section prints.
PRINTS = {
    "You build a RAG app": ['"index":1', "To reset the password, open Settings, Security."],
    "You run a gateway": ['"id":"BAAI/bge-reranker-v2-m3"', '"model":"rerankd-multi"'],
    "You run it for several teams": ["rerankd_requests_total", "Invalid token"],
    "You measure ranking quality": ["rerankd-lexical", "input-order", "nDCG@10"],
    "You want no server": ["Paris is the capital of France.", "top_n is 0", '"line":2,'],
}

pytestmark = pytest.mark.timeout(900)  # slow


def sections() -> dict[str, list[Block]]:
    """The blocks that are run, by heading."""
    lines = PAGE.read_text("utf-8").splitlines()
    found: dict[str, list[Block]] = {}
    for block in blocks(PAGE):
        headings = [line[3:] for line in lines[: block.line] if line.startswith("## ")]
        if not block.reason:
            found.setdefault(headings[-1], []).append(block)
    return found


def script(section: list[Block], folder: Path) -> str:
    """The section as one shell script; its Python is in files."""
    parts = ["set -euo pipefail"]
    for block in section:
        if block.language == "sh":
            parts.append(block.text)
        else:
            assert block.language == "python", block.name
            file = folder / f"{block.line}.py"
            file.write_text(block.text, "utf-8")
            parts.append(f"python {file}")
    return "\n".join(parts)


def expected_statuses(section: list[Block]) -> list[int]:
    """Of each curl, in order: 200, or what the comment behind the command says."""
    found: list[int] = []
    for block in section:
        joined = block.text.replace("\\\n", " ")
        for command in re.findall(r"^curl .*?(?=^\S|\Z)", joined, re.MULTILINE | re.DOTALL):
            said = re.search(r"# (\d{3}):", command)
            found.append(int(said[1]) if said else 200)
    return found


@pytest.mark.parametrize("name", sections())
def test_a_section_does_what_it_says(name: str, tmp_path: Path) -> None:
    section, state, work, programs = (
        sections()[name],
        *(tmp_path / part for part in ("state", "work", "bin")),
    )
    for folder in (state, work, programs):
        folder.mkdir()
    for program in PROGRAMS:
        command = [sys.executable, str(ROOT / "tests" / "docs" / "shell_tools.py"), program]
        (programs / program).write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
        (programs / program).chmod(0o755)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RERANKD_")} | {
        "DOCS_STATE": str(state),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    try:
        done = subprocess.run(
            ["bash", "-c", script(section, tmp_path)],  # noqa: S607 - whichever there is
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
    finally:
        for pid in (state / "pids").read_text().split() if (state / "pids").exists() else []:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(int(pid), signal.SIGKILL)
    assert done.returncode == 0, done.stderr
    for words in PRINTS[name]:
        assert words in done.stdout, done.stdout
    statuses = (state / "statuses").read_text().split() if (state / "statuses").exists() else []
    assert [int(status) for status in statuses] == expected_statuses(section)


def test_every_section_is_expected_to_print_something() -> None:
    assert set(PRINTS) == set(sections())


def test_the_serve_commands_are_the_programs() -> None:
    text = "".join(block.text for section in sections().values() for block in section)
    commands = re.findall(r"^rerankd (serve.*)$", text, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        app.parse_args(shlex.split(command, comments=True), exit_on_error=False)
