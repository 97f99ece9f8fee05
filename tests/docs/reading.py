"""The pages as tests see them: links, anchors, fenced blocks with what is said about each."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
INDEX = DOCS / "README.md"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]

_FENCE = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+?) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block."""

    page: Path
    line: int  # of its fence, from 1
    language: str  # "" = none is given
    text: str
    reason: str  # why it is not run, as the page's source says; "" = it is

    @property
    def name(self) -> str:
        """For test ids and messages."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path, *languages: str) -> list[Block]:
    """A page's blocks, of these languages if any are named."""
    text = page.read_text("utf-8")
    found = [
        Block(page, text.count("\n", 0, m.start()) + 1, m["language"], m["text"], m["reason"] or "")
        for m in _FENCE.finditer(text)
    ]
    return [block for block in found if not languages or block.language in languages]


def all_blocks(*languages: str) -> list[Block]:
    """Those of all pages."""
    return [block for page in PAGES for block in blocks(page, *languages)]


def prose(page: Path) -> str:
    """The page without its blocks and comments; lines stay where they are."""

    def blank(found: re.Match[str]) -> str:
        return "\n" * found[0].count("\n")

    text = re.sub(r"^```.*?^```$", blank, page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"<!--.*?-->", blank, text, flags=re.DOTALL)


def links(page: Path) -> list[tuple[str, str]]:
    """(path, anchor) of every relative link; "" where one is not given."""
    found = re.findall(r"\]\(([^)\s#]*)(?:#([^)\s]*))?\)", prose(page))
    return [(path, anchor) for path, anchor in found if "//" not in path]


def anchors(page: Path) -> set[str]:
    """What `#…` may follow the page's name, as GitHub makes it of headings."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.+?) *$", prose(page), re.MULTILINE):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        kept = "".join(c for c in text if c in "-_ " or unicodedata.category(c)[0] in "LNM")
        slug, number = kept.replace(" ", "-"), 0
        while (name := f"{slug}-{number}" if number else slug) in found:
            number += 1
        found.add(name)
    return found


def sentences(page: Path, *, tables: bool = True) -> list[str]:
    """What the page says in words: paragraphs, list items, cells of tables. A link is its text."""
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", re.sub(r"!\[.*?\]\(.*?\)", "", prose(page)))
    parts: list[str] = []
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*|#>]|\d+\.) ?)", text):
        if not block.strip().startswith("|"):
            parts.append(re.sub(r"^\s*(?:[-*#>]+|\d+\.) +", "", block))
        elif tables:
            parts += re.split(r" [|·] ", block.strip().strip("|"))
    start = r"(?<=[.?!:;])[*)]*\s+(?=\*|[\"“(`]*[A-Z0-9`])"
    found = [s.strip() for part in parts for s in re.split(start, " ".join(part.split()))]
    return [sentence for sentence in found if words(sentence)]


def words(sentence: str) -> list[str]:
    """A sentence's words; code and figures count as one each."""
    plain = re.sub(r"`[^`]*`", "code", sentence)
    return [word for word in plain.split() if re.search(r"\w", word)]
