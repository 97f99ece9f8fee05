"""The playground: its modules, run by node; what it exports and shows, read and sent for real."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Generator
from importlib import resources
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest

from rerankd.dialects.base import Dialect
from rerankd.dialects.registry import SERVED
from rerankd.measure.collection import read_collection
from rerankd.web.static_files import static_files
from tests.kit.processes import PATIENCE_S, serving
from tests.kit.support import running

HERE = Path(__file__).parent / "playground"
STATIC = resources.files("rerankd.web").joinpath("static")
KEY = "sk-right"
MODEL = "rerankd-lexical"
FIRST_PAINT = 150_000  # bytes, nothing compressed
# What a shell, Python and JavaScript would each read otherwise.
QUERY = 'What\'s the "capital" of Japan? $HOME `true` null \\ 東京'
DOCUMENTS = [
    "Kyoto was the seat of the emperor: true, false, null.",
    "It's \"Tokyo\": the capital of Japan.\n${KEY} \\n $(id) 'x' 🦊",
    "Osaka is a port.",
]


def node(*arguments: str, given: str = "") -> str:
    """What a program of node prints."""
    program = shutil.which("node")
    assert program is not None, "node is not installed: 20.19 or newer runs the page's modules."
    done = subprocess.run(
        [program, *arguments],
        input=given,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def ask(origin: str, *, has_key: bool = True, **options: Any) -> dict[str, Any]:
    """What the page makes its snippets of."""
    return {
        "model": MODEL,
        "query": QUERY,
        "documents": DOCUMENTS,
        "options": options,
        "origin": origin,
        "hasKey": has_key,
    }


def snippets(asked: dict[str, Any]) -> dict[str, str]:
    """Every one of them by its name."""
    return json.loads(node(str(HERE / "made.mjs"), "snippets", given=json.dumps(asked)))


@pytest.fixture(scope="module")
def url() -> Generator[str]:
    command = ["serve", "--port", "0", "--model", MODEL]
    env = {**os.environ, "RERANKD_API_KEYS": KEY}
    with serving(["-m", "rerankd", *command], env=env) as server:
        yield server.url


def run(command: list[str]) -> str:
    """What a snippet prints, with the key where it looks for it."""
    done = subprocess.run(
        command,
        env={**os.environ, "RERANKD_KEY": KEY},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def first_of(told: Any) -> int:
    """The index of the best document, in the answer of any dialect."""
    if isinstance(told, list):
        return cast("list[Any]", told)[0]["index"]
    if "scores" in told:
        return max(range(len(told["scores"])), key=lambda i: told["scores"][i])
    found = told.get("output", told)
    lists = (found.get(name) for name in ("results", "data", "rankings"))
    return next(each for each in lists if each)[0]["index"]


def test_the_modules_do_what_they_say() -> None:
    tests = sorted(str(path) for path in HERE.glob("*.test.mjs"))
    told = node("--test", "--test-reporter=tap", *tests)
    assert "# fail 0" in told
    assert "# skipped 0" in told


def test_marks_become_a_collection(tmp_path: Path) -> None:
    asked = ask("http://h") | {"grades": [[0, 0], [1, 1], [2, 1]]}
    file = tmp_path / "playground.zip"
    node(str(HERE / "made.mjs"), "zip", str(file), given=json.dumps(asked))
    with zipfile.ZipFile(file) as whole:
        assert whole.testzip() is None
        whole.extractall(tmp_path)
    found = read_collection(tmp_path / "playground")
    assert found.queries == {"q1": QUERY}
    assert list(found.documents.values()) == DOCUMENTS
    assert found.qrels == {"q1": {"d2": 1, "d3": 1}}
    assert found.candidates == {"q1": ["d1", "d2", "d3"]}


PROGRAMS = {
    "curl": ["bash", "-c"],
    "Python": [sys.executable, "-c"],
    "JavaScript": ["node", "--input-type=module", "-e"],
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_runs_as_it_is_shown(url: str, name: str) -> None:
    shown = snippets(ask(url, max_chunks_per_doc=3, instruction="It's $HOME"))[name]
    told = run([*PROGRAMS[name], shown])
    first = json.loads(told)["results"][0]["index"] if name == "curl" else int(told.split()[0])
    assert first == 1
    assert KEY not in shown


def dialects(asked: dict[str, Any]) -> dict[str, str]:
    """The snippets that are requests of other providers."""
    shown = snippets(asked)
    return {name: shown[name] for name in shown if name not in PROGRAMS and "curl" in shown[name]}


def test_a_dialects_request_is_answered_as_it_is_shown(url: str) -> None:
    options: dict[str, Any] = {"instruction": "x", "max_chunks_per_doc": 3, "overlap_tokens": 2}
    for asked in (ask(url), ask(url, **options, max_tokens_per_doc=99)):
        for name, shown in dialects(asked).items():
            told = run(["bash", "-c", shown.replace("curl", "curl -sS --fail-with-body", 1)])
            assert first_of(json.loads(told)) == 1, name


def test_every_dialect_of_the_server_has_a_request() -> None:
    text = "\n".join(dialects(ask("")).values())
    paths = set(re.findall(r"curl (/\S+)", text))
    rerank = {each for each in SERVED.served if isinstance(each, Dialect) and each.prefix}
    lacking = {
        each.prefix
        for each in rerank
        if not any(path.startswith(f"/{each.prefix}/") for path in paths)
    }
    assert lacking == set()


def test_langchains_snippet_is_python_and_difys_fields_are_what_it_posts(url: str) -> None:
    shown = snippets(ask(url))
    compile(shown["LangChain"], "snippet", "exec")
    fields = dict(
        re.split(r" {2,}", line, maxsplit=1) for line in shown["Dify fields"].splitlines()[2:]
    )
    assert fields["Model Type"] == "Rerank"
    body = {"model": fields["Model Name"], "query": QUERY, "documents": DOCUMENTS, "top_n": 3}
    headers = {"authorization": f"Bearer {KEY}"}
    answer = httpx2.post(f"{fields['API Base URL']}/rerank", json=body, headers=headers)
    assert answer.json()["results"][0]["index"] == 1


def test_what_a_dialect_has_no_place_for_is_told() -> None:
    asked = ask("http://h", instruction="x")
    assert snippets(asked)["Voyage"].startswith("# Voyage has no place for instruction.\n")
    asked["documents"] = [{"image": "data:image/png;base64,AA"}]
    shown = snippets(asked)
    assert "has no place for the images" in shown["Cohere v2"]
    assert '"image"' in shown["Jina"]


async def test_the_page_is_light_and_loads_nothing_late() -> None:
    page = STATIC.joinpath("playground.html").read_text()
    linked = set(re.findall(r'(?:src|href)="/static/([^"#]+)"', page))
    files = static_files()
    modules = {name for name in linked if name.endswith(".js")}
    for name in modules:
        needed = re.findall(
            r'^import .* from "\./([^"]+)";$', files[name].content.decode(), re.MULTILINE
        )
        folder = name.rpartition("/")[0]
        assert {f"{folder}/{each}" for each in needed} <= modules
    at_first = linked | {"playground/icons.svg"}
    assert sum(len(files[name].content) for name in at_first) + len(page) <= FIRST_PAINT
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", page)
    async with running({}) as (client, _):
        answer = await client.get("/", headers={"accept": "text/html"})
        assert "Playground" in answer.text
        assert "script-src 'self'" in answer.headers["content-security-policy"]
