"""docs/operating.md against a running server and the code: metrics, events."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Generator
from pathlib import Path

import httpx2
import pytest
from reading import DOCS, ROOT, prose

from tests.kit.processes import PATIENCE_S, Server, serving

PAGE = DOCS / "operating.md"
KEY = "0123456789abcdef0123456789abcdef"


def table(heading: str, width: int) -> list[list[str]]:
    """The rows of the first table after a heading that is this wide."""
    section = prose(PAGE).partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line.strip() for line in section.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines if line[1] != "-"]
    start = next(i for i, row in enumerate(rows) if len(row) == width)
    found: list[list[str]] = []
    for row in rows[start + 1 :]:
        if len(row) != width:
            break
        found.append(row)
    return found


def names(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("operating") / "log"


@pytest.fixture(scope="module")
def server(log: Path) -> Generator[Server]:
    """A server that has answered, refused and not known a path."""
    command = ["-m", "rerankd", "serve", "--port", "0", "--workers", "1"]
    with serving(command, env={"RERANKD_API_KEYS": KEY}, log=log) as running:
        body = {"query": "capital of France", "documents": ["Berlin", "Paris"]}
        for path, key in (("/v1/rerank", KEY), ("/v1/rerank", "wrong"), ("/v1/v1/rerank", KEY)):
            headers = {"authorization": f"Bearer {key}"}
            httpx2.post(f"{running.url}{path}", json=body, headers=headers, timeout=PATIENCE_S)
        yield running


def test_the_table_of_metrics_is_what_is_exposed(server: Server) -> None:
    text = httpx2.get(f"{server.url}/metrics", timeout=PATIENCE_S).text
    exposed = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    rows = {names(row[0])[0]: row for row in table("Metrics", 4)}
    assert {name: row[1] for name, row in rows.items()} == exposed
    for sample, labels in re.findall(r"^(rerankd_\w+)\{(.*)\} ", text, re.MULTILINE):
        family = re.sub(r"_(bucket|sum|count)$", "", sample)
        seen = {label for label in re.findall(r'(\w+)="', labels) if label != "le"}
        assert seen == set(names(rows[family][2])), family


def test_the_fields_of_a_log_event_are_the_pages(server: Server, log: Path) -> None:
    lines = [json.loads(line) for line in log.read_text("utf-8").splitlines() if line[:1] == "{"]
    event = next(line for line in lines if line["event"] == "rerank")
    assert sorted(n for row in table("Logs", 2) for n in names(row[0])) == sorted(event)


def test_the_log_events_are_the_pages() -> None:
    said: set[str] = set()
    for path in (ROOT / "src" / "rerankd").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and node.args and _logs(node.func, path):
                match node.args[0]:
                    case ast.Constant(value=str(event)):
                        said.add(event)
                    case _:  # the helpers of telemetry, which pass on what they are given
                        assert "telemetry" in str(path), path
    assert sorted(n for row in table("Logs", 3) for n in names(row[0])) == sorted(said)


def _logs(function: ast.expr, path: Path) -> bool:
    if isinstance(function, ast.Name):
        return function.id in ("log_event", "log_refusal")
    if not isinstance(function, ast.Attribute):
        return False
    is_ours = isinstance(function.value, ast.Name) and function.value.id == "_log"
    is_logger = (is_ours and "telemetry" in path.parts) or "get_logger" in ast.dump(function)
    return is_logger and function.attr in ("info", "warning", "error")


@pytest.mark.parametrize("path", ["/ready", "/health", "/metrics"])
def test_probes_need_no_key(server: Server, path: str) -> None:
    assert httpx2.get(server.url + path, timeout=PATIENCE_S).status_code == 200
