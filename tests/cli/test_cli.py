"""The commands, as a user types them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from cyclopts import App

from rerankd.cli.commands import app
from tests.checkpoints import bert as checkpoints
from tests.kit.processes import PATIENCE_S, serving

pytestmark = pytest.mark.timeout(1800)  # slow

LINES = "Bananas are yellow.\n\nParis is the capital of France.\nBerlin is in Germany.\n"


def run(
    *arguments: str, env: dict[str, str] | None = None, text: str | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RERANKD_")}
    return subprocess.run(
        [sys.executable, "-m", "rerankd", *arguments],
        capture_output=True,
        text=True,
        check=False,
        input=text,
        timeout=600,
        env=environment | (env or {}),
    )


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    path = tmp_path / "docs.txt"
    path.write_text(LINES)
    return path


def test_rank_prints_a_table_with_the_best_line_first(documents: Path) -> None:
    done = run("rank", "What is the capital of France?", str(documents))
    assert done.returncode == 0, done.stderr
    rows = done.stdout.splitlines()[1:]
    assert len(rows) == 3
    assert "Paris is the capital of France." in rows[0]
    assert "━" in rows[0]


def test_rank_as_json_lines(documents: Path) -> None:
    done = run("rank", "capital of France", str(documents), "--json", "--top-n", "2")
    ranked = [json.loads(line) for line in done.stdout.splitlines()]
    assert ranked[0]["index"] == 1
    assert len(ranked) == 2
    assert 0 <= ranked[1]["relevance_score"] <= ranked[0]["relevance_score"] <= 1


def test_rank_reads_stdin_and_jsonl(tmp_path: Path) -> None:
    done = run("rank", "capital of France", "-", "--json", text=LINES)
    assert json.loads(done.stdout.splitlines()[0])["index"] == 1
    path = tmp_path / "d.jsonl"
    path.write_text('{"text": "Bananas"}\n{"text": "the capital of France", "id": 7}\n')
    done = run("rank", "capital of France", str(path), "--json")
    assert json.loads(done.stdout.splitlines()[0])["index"] == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("rank", "q", "/no/such/file"), "Cannot read /no/such/file"),
        (("rank", "q", "DOCS", "--top-n", "0"), "--top-n 0"),
        (("rank", "q", "DOCS", "--model", "/no/folder"), "no such folder"),
        (("serve", "--model", "./no-folder"), "--model ./no-folder: no such folder"),
        (("serve", "--host", "0.0.0.0"), "RERANKD_API_KEYS"),
        (("serve", "--alias", "nonsense"), "SERVED=MODEL"),
        (("serve", "--model", "BAAI/bge-reranker-v2-m3"), "rerankd pull BAAI/bge-reranker-v2-m3"),
        (("serve", "--config", "/no/such.toml"), "Cannot read /no/such.toml"),
        (("serve", "--host", "203.0.113.1"), "RERANKD_API_KEYS"),
        (("pull", "not-a-name"), "not a repository name"),
        (("pull", "./not-a-name"), "not a repository name"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_one_sentence_and_status_1(
    arguments: tuple[str, ...], says: str, documents: Path, tmp_path: Path
) -> None:
    given = [str(documents) if a == "DOCS" else a for a in arguments]
    done = run(*given, env={"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"})
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def commands(group: App, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], App]]:
    """Every command with a function of its own, below groups too."""
    for name in group:
        if name.startswith("-"):
            continue
        command = group[name]
        if command.default_command is not None:
            yield (*path, name), command
        yield from commands(command, (*path, name))


def paragraphs(text: str | None) -> list[str]:
    said = re.split(r"\n *Parameters", text or "")[0].split("\n\n")
    return [" ".join(part.split()) for part in said if part.strip()]


def test_the_help_says_what_each_command_does_in_its_own_words() -> None:
    found = dict(commands(app))
    assert {("serve",), ("keys", "create"), ("usage", "verify")} <= found.keys()
    shown = {path[:-1]: "" for path in found}
    shown = {group: run(*group, "--help").stdout for group in shown}
    for path, command in found.items():
        function = command.default_command
        assert function is not None
        own = paragraphs(function.__doc__)
        assert paragraphs(command.help) == own, path
        assert re.search(rf"│ {path[-1]} +{re.escape(own[0][:12])}", shown[path[:-1]]), path


def test_models_shows_the_catalog() -> None:
    done = run("models")
    assert "rerankd-multi (default)" in done.stdout
    assert "rerankd-lexical" in done.stdout
    assert "BAAI/bge-reranker-v2-m3" in done.stdout


def test_doctor_says_what_a_model_is_and_that_it_scores(tmp_path: Path) -> None:
    done = run("doctor")
    assert done.returncode == 0, done.stderr
    assert "rerankd-multi" in done.stdout
    assert "openvino cpu int8" in done.stdout
    assert "warning" not in done.stdout
    folder = checkpoints.write(tmp_path / "random", checkpoints.TINY_BERT)
    done = run("doctor", str(folder))
    assert done.returncode == 0, done.stderr
    assert "openvino cpu fp32" in done.stdout


def test_doctor_refuses_a_damaged_model(tmp_path: Path) -> None:
    zero = {name: made * 0 for name, made in checkpoints.tensors(checkpoints.TINY_BERT).items()}
    folder = checkpoints.write(tmp_path / "zero", checkpoints.TINY_BERT, zero)
    done = run("doctor", str(folder))
    assert done.returncode == 1
    assert "same score" in done.stderr


def test_config_shows_where_a_value_came_from_and_no_key() -> None:
    env = {"RERANKD_LIMITS_DOCUMENTS": "77", "RERANKD_API_KEYS": "sk-secret"}
    done = run("config", "--port", "9", env=env)
    own = done.stdout.partition("\n\n")[0]  # then come servers that run on this machine
    shown = {line.split()[0]: line for line in own.splitlines() if line.strip()}
    assert shown["limits.documents"].split()[1:] == ["77", "RERANKD_LIMITS_DOCUMENTS"]
    assert shown["server.port"].split()[1:] == ["9", "flag"]
    assert "sk-secret" not in done.stdout


def test_serve_says_what_is_served_and_answers(tmp_path: Path) -> None:
    log = tmp_path / "log"
    aliases = ["--alias", "BAAI/bge-reranker-v2-m3=rerankd-mini"]
    with serving(["-m", "rerankd", "serve", "--port", "0", *aliases], log=log) as server:
        answer = httpx2.post(
            f"{server.url}/v1/rerank",
            json={
                "model": "BAAI/bge-reranker-v2-m3",
                "query": "capital of France",
                "documents": LINES.split("\n"),
                "top_n": 1,
                "return_documents": True,
            },
            timeout=PATIENCE_S,
        ).json()
        assert server.stop() == 0
        assert server.process.stdout
        printed = "".join(server.lines) + server.process.stdout.read()
    assert answer["model"] == "rerankd-mini"
    assert answer["results"][0]["document"]["text"] == "Paris is the capital of France."
    for part in ("rerankd-multi (default)", "openvino cpu", "BAAI/bge-reranker-v2-m3", "none"):
        assert part in printed
    assert "Paris" not in log.read_text()


def test_serve_answers_with_a_checkpoint_under_its_folders_name(tmp_path: Path) -> None:
    folder = checkpoints.write(tmp_path / "tiny-reranker", checkpoints.TINY_XLMR)
    command = ["-m", "rerankd", "serve", "--port", "0", "--model", str(folder)]
    with serving(command) as server:
        listed = httpx2.get(f"{server.url}/v1/models", timeout=PATIENCE_S).json()
        posted = {"query": "q", "documents": ["a " * 300, "b"], "overlap_tokens": 10}
        answer = httpx2.post(f"{server.url}/v1/rerank", json=posted, timeout=PATIENCE_S).json()
        posted |= {"max_chunks_per_doc": 1}
        cut = httpx2.post(f"{server.url}/v1/rerank", json=posted, timeout=PATIENCE_S).json()
        health = httpx2.get(f"{server.url}/health", timeout=PATIENCE_S)
        ready = httpx2.get(f"{server.url}/ready", timeout=PATIENCE_S).json()
    assert listed["data"][0]["id"] == "tiny-reranker"
    assert listed["data"][0]["engine"] == "openvino"
    assert answer["model"] == "tiny-reranker"
    assert not any("truncated" in result for result in answer["results"])
    assert [r["index"] for r in cut["results"] if r.get("truncated")] == [0]
    assert cut["meta"]["warnings"]
    assert cut["usage"]["total_tokens"] < answer["usage"]["total_tokens"]
    assert health.status_code == 200
    assert ready["status"] == "ready"


def test_a_damaged_checkpoint_stops_the_server_with_a_sentence(tmp_path: Path) -> None:
    folder = checkpoints.write(tmp_path / "damaged", checkpoints.TINY_BERT)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    done = run("serve", "--port", "0", "--model", str(folder))
    assert done.returncode == 1
    assert "model.safetensors" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_said() -> None:
    with serving(["-m", "rerankd", "serve", "--port", "0"]) as server:
        done = run("serve", "--port", str(server.port))
    assert done.returncode == 1
    assert "Cannot listen" in done.stderr


def test_rank_keeps_line_numbers_and_breaks_lines_at_newlines_only(tmp_path: Path) -> None:
    path = tmp_path / "d.txt"
    path.write_text("\n\nBananas\u2028are\x0cyellow\r\n\nthe capital of France\n")
    done = run("rank", "capital of France", str(path), "--json")
    ranked = [json.loads(line) for line in done.stdout.split("\n") if line]
    assert [(r["line"], r["index"]) for r in ranked] == [(5, 1), (3, 0)]
    path = tmp_path / "d.jsonl"
    path.write_text(json.dumps({"text": "a\u2028b"}, ensure_ascii=False) + "\n")
    assert run("rank", "a", str(path)).returncode == 0
