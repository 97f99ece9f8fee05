"""Every link leads to a page and to a heading of it; every page is found from the index."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from reading import DOCS, INDEX, PAGES, ROOT, anchors, links

# Pages beside the code, which the ones of docs/ lead to.
BESIDE = [
    *ROOT.glob("tests/**/README.md"),
    *ROOT.glob("bench/**/*.md"),
    *ROOT.glob("training/*.md"),
]
# These have an index of their own.
FOLDERS = ("decisions", "dialects", "integrations")


@pytest.mark.parametrize("page", [*PAGES, *BESIDE], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for path, anchor in links(page):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        if anchor:
            assert anchor in anchors(target), f"{path}#{anchor}"


def linked(page: Path) -> set[Path]:
    """The pages below docs/ that a page leads to."""
    found = {(page.parent / path).resolve() for path, _ in links(page) if path}
    return {target for target in found if target.suffix == ".md" and target.is_relative_to(DOCS)}


def test_every_page_is_found_from_the_index() -> None:
    found, left = {INDEX}, [INDEX]
    while left:
        new = linked(left.pop()) - found
        found |= new
        left += new
    assert found == set(DOCS.rglob("*.md"))


def test_the_index_lists_every_page_once() -> None:
    listed = Counter((INDEX.parent / path).resolve() for path, _ in links(INDEX))
    assert set(listed.values()) == {1}
    own = {page for page in DOCS.rglob("*.md") if page.parent.name not in FOLDERS} - {INDEX}
    indexes = {DOCS / folder / "README.md" for folder in FOLDERS}
    assert set(listed) == own | indexes
    for folder in FOLDERS:
        pages = set((DOCS / folder).glob("*.md")) - {DOCS / folder / "README.md"}
        assert pages <= linked(DOCS / folder / "README.md"), folder


def test_the_readme_leads_to_the_index() -> None:
    assert INDEX in linked(ROOT / "README.md")
