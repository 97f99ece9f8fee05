"""web/ and cli/ know of models what a backend publishes: never a pool, a queue or an engine."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent.parent / "src" / "rerankd"
FILES = sorted([*(SRC / "web").rglob("*.py"), *(SRC / "cli").rglob("*.py")])
LIVE = {"pool", "scheduler"}
# Where a server is put together; and what loads a model of its own, to look at it.
PUTS_TOGETHER = {"web/assemble.py"}
OWN_MODEL = {"cli/doctor.py"}
MADE_BY = {"pool", "pipeline", "local", "scheduler", "health", "cascade"}


def live_reads(source: str) -> list[str]:
    """Every read of a live object, as it is written."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            inner = node.value.attr if isinstance(node.value, ast.Attribute) else ""
            if node.attr in LIVE or (node.attr == "info" and inner == "engine"):
                found.append(ast.unparse(node))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rerankd.service"):
            names = [node.module or "", *(alias.name for alias in node.names)]
            if {part for name in names for part in name.split(".")} & MADE_BY:
                found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_it_reads_facts_only(path: Path) -> None:
    if str(path.relative_to(SRC)) not in PUTS_TOGETHER | OWN_MODEL:
        assert live_reads(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "state.backend.pool.loaded['x']",
        "pool.loaded[n].model.engine.info.name",
        "served.scheduler.waiting_tokens",
        "from rerankd.service.pool import Pool",
        "from rerankd.service import scheduler",
    ],
)
def test_a_live_read_is_seen(source: str) -> None:
    assert live_reads(source)
