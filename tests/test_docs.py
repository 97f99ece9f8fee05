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

ROOT = Path(__file__).parent.parent


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


def test_the_configuration_page_is_fresh() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    fresh = script(ROOT / "docs" / "generate.py").page()
    assert page == fresh, "run: uv run python docs/generate.py"


def test_every_client_has_a_result_and_passed_with_both_keys() -> None:
    clients = ROOT / "tests" / "clients"
    names = [client.name for client in script(clients / "run.py").CLIENTS]
    results = json.loads((clients / "results.json").read_text())
    assert list(results) == names, "run: tests/clients/run.sh CACHE --record"
    assert all(found["passed"] == ["right", "wrong"] for found in results.values())


@pytest.mark.parametrize(
    "page", [*sorted(ROOT.glob("docs/**/*.md")), ROOT / "README.md"], ids=lambda p: p.name
)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_every_dependency_has_its_reason() -> None:
    page = (ROOT / "docs" / "decisions" / "0002-dependencies.md").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *(found for some in project["project"]["optional-dependencies"].values() for found in some),
        *(found for some in project["dependency-groups"].values() for found in some),
    ]
    for requirement in wanted:
        name = re.split(r"[^a-zA-Z0-9_-]", requirement)[0]
        assert re.search(rf"\b{re.escape(name)}\b", page), name


def test_the_architecture_page_names_every_folder() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    for folder in (ROOT / "src" / "rerankd").iterdir():
        if folder.is_dir() and folder.name != "__pycache__":
            assert f"{folder.name}/" in page, folder.name
