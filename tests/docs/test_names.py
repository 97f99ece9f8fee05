"""Names of files and functions on the pages for developers are those of the code."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src" / "rerankd"


def quoted(page: str, pattern: str) -> list[str]:
    """What stands between backticks on a page and fits the pattern, sorted, each once."""
    found: list[str] = re.findall("`([^`\n]+)`", (ROOT / "docs" / page).read_text("utf-8"))
    return sorted({text for text in found if re.fullmatch(pattern, text)})


@pytest.mark.parametrize("name", quoted("add-a-dialect.md", r"[a-z_]+\.\w+"))
def test_a_name_of_the_page_about_dialects_is_one_of_dialects(name: str) -> None:
    module, attribute = name.split(".")
    if attribute == "py":
        assert (SRC / "dialects" / name).is_file()
    elif module == "wire":  # the name of an argument, on that page
        from rerankd.dialects.wire import WireRequest

        assert attribute in WireRequest.__dataclass_fields__
    else:
        assert hasattr(importlib.import_module(f"rerankd.dialects.{module}"), attribute)


@pytest.mark.parametrize("path", quoted("architecture.md", r"[a-z_]+(/[a-z_]+)+\.py"))
def test_a_file_of_the_architecture_page_is_there(path: str) -> None:
    root = SRC if (SRC / path.split("/", maxsplit=1)[0]).is_dir() else ROOT
    assert (root / path).is_file()


@pytest.mark.parametrize("page", ["add-a-dialect.md", "architecture.md"])
def test_the_page_names_some(page: str) -> None:
    assert len(quoted(page, r"[a-z_/]+\.\w+")) > 5


def test_every_module_is_in_the_architecture_pages_table() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    words = set(re.findall(r"[a-z_0-9]+", page))
    folders = ("access", "cli", "core", "gateway", "models", "media", "service", "telemetry", "web")
    missing = [
        f"{folder}/{path.name}"
        for folder in folders
        for path in sorted((SRC / folder).glob("*.py"))
        if path.stem not in words and path.stem != "__init__"
    ]
    assert missing == []
