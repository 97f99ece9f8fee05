"""The pages say what the code does."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from rerankd import Reranker

ROOT = Path(__file__).parents[2]


def script(path: Path) -> Any:
    """A file that is no package's, as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look there
    spec.loader.exec_module(module)
    del sys.modules[path.stem]
    return module


def test_the_generated_parts_are_fresh() -> None:
    made = script(ROOT / "tools" / "generate_docs.py").pages()
    assert {path.name for path in made} == {"cli.md", "configuration.md", "precision.md"}
    for path, fresh in made.items():
        assert path.read_text("utf-8") == fresh, "run: uv run python tools/generate_docs.py"


def test_the_clients_page_is_fresh() -> None:
    page = (ROOT / "docs" / "clients.md").read_text()
    fresh = script(ROOT / "tests" / "clients" / "clients_page.py").page()
    assert page == fresh, "run: uv run --group dev python tests/clients/clients_page.py"


def test_every_client_of_its_own_kind_has_manners() -> None:
    clients = ROOT / "tests" / "clients"
    listed = script(clients / "listed.py").CLIENTS
    manners = json.loads((clients / "manners.json").read_text())
    names = [client.name for client in listed if client.has_manners]
    assert list(manners) == names, "run: tests/clients/run.sh CACHE --record"
    # All of them and in one piece: no failing client leaves a hole in the page.
    assert all(found["tries"]["answer"] == 1 for found in manners.values())


def test_every_client_has_a_result_and_passed_with_both_keys() -> None:
    clients = ROOT / "tests" / "clients"
    names = [client.name for client in script(clients / "listed.py").CLIENTS]
    results = json.loads((clients / "results.json").read_text())
    assert list(results) == names, "run: tests/clients/run.sh CACHE --record"
    assert all(found["passed"] == ["right", "wrong"] for found in results.values())


def test_the_readmes_answer_is_the_answer() -> None:
    page = (ROOT / "README.md").read_text()
    asked = re.search(r"-d '(\{.*?\})'", page, flags=re.DOTALL)
    assert asked
    request = json.loads(asked[1])
    with Reranker() as reranker:
        hits = reranker.rank(request["query"], request["documents"])
    shown = re.findall(r'"index": (\d), "relevance_score": ([\d.]+)…', page)
    assert [int(index) for index, _ in shown] == [hit.index for hit in hits]
    # int8 differs a little from processor to processor.
    assert [float(score) for _, score in shown] == pytest.approx([h.score for h in hits], abs=2e-3)


def test_every_dependency_has_its_reason() -> None:
    page = (ROOT / "docs" / "decisions" / "0002-dependencies.md").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *(found for some in project["project"]["optional-dependencies"].values() for found in some),
        *(
            found
            for some in project["dependency-groups"].values()
            for found in some
            if isinstance(found, str)  # else it includes another group
        ),
    ]
    for requirement in wanted:
        name = re.split(r"[^a-zA-Z0-9_-]", requirement)[0]
        assert re.search(rf"\b{re.escape(name)}\b", page), name


def test_the_architecture_page_names_every_folder_and_module() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    rows: dict[str, str] = {}  # large folders have several
    for name, row in re.findall(r"^\| `(\w+)/` \| (.*) \|$", page, flags=re.MULTILINE):
        rows[name] = rows.get(name, "") + row
    for folder in (ROOT / "src" / "rerankd").iterdir():
        if folder.is_dir() and folder.name != "__pycache__":
            named = set(re.findall(r"\w+", " ".join(re.findall(r"`[^`]+`", rows[folder.name]))))
            modules = {module.stem for module in folder.glob("*.py")} - {"__init__"}
            if folder.name == "dialects":  # most are one file per provider
                modules &= {"base", "wire", "fields", "failures", "upstream", "registry"}
            assert modules <= named, (folder.name, modules - named)


def test_the_benchmarks_page_lists_every_script() -> None:
    page = (ROOT / "bench" / "README.md").read_text("utf-8")
    listed = re.findall(r"^\| `([\w.]+)` \|", page, re.MULTILINE)
    scripts = [path.name for kind in ("*.py", "*.sh") for path in (ROOT / "bench").glob(kind)]
    assert sorted(listed) == sorted(scripts)


def test_the_training_page_lists_every_script() -> None:
    page = (ROOT / "training" / "README.md").read_text("utf-8")
    listed = re.findall(r"^\| `(\w+\.py)` \|", page, re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in (ROOT / "training").glob("*.py"))


def test_the_page_of_tests_names_every_folder_that_is_not_the_sources() -> None:
    page = (ROOT / "tests" / "README.md").read_text("utf-8")
    listed = re.findall(r"^\| \[?`(\w+)/`", page, re.MULTILINE)
    source = {path.name for path in (ROOT / "src" / "rerankd").iterdir()}
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir()} - {"__pycache__"}
    assert sorted(listed) == sorted(folders - source)


def test_the_page_of_helpers_names_every_module() -> None:
    page = (ROOT / "tests" / "kit" / "README.md").read_text("utf-8")
    named = set(re.findall(r"`(\w+\.py)`", page))
    assert named == {path.name for path in (ROOT / "tests" / "kit").glob("*.py")}
