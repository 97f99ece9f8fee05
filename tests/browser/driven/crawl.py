"""All pages of the console that somebody can click to."""

from __future__ import annotations

from collections import Counter, deque
from urllib.parse import urlsplit

from playwright.sync_api import Page

_ALIKE = 2  # pages of one form, such as /ui/keys/7, that are looked at
_MOST = 80
_LINKS = """() => [...document.querySelectorAll('a[href]')]
    .filter(a => !a.hasAttribute('download'))
    .map(a => a.href)"""


def pages(page: Page, start: str = "/ui") -> list[str]:
    """Paths, with what is behind `?`, in the order in which they are found."""
    page.goto(start)
    menu = set(
        _paths(
            page,
            page.get_by_role("navigation")
            .locator("a[href]")
            .evaluate_all("links => links.map(a => a.href)"),
        )
    )
    found, waiting, alike = list[str](), deque([start, *sorted(menu)]), Counter[str]()
    seen: set[str] = set()
    while waiting and len(found) < _MOST:
        path = waiting.popleft()
        form = _form(path, menu)
        if path in seen or alike[form] >= _ALIKE:
            continue
        seen.add(path)
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == 200, (path, answer.status)
        if not answer.headers["content-type"].startswith("text/html"):
            continue
        alike[form] += 1
        found.append(path)
        waiting += _paths(page, page.evaluate(_LINKS))
    assert len(found) < _MOST
    return found


def _paths(page: Page, links: list[str]) -> list[str]:
    origin = urlsplit(page.url)
    found: list[str] = []
    for link in links:
        to = urlsplit(link)
        is_ours = to.netloc == origin.netloc and (to.path + "/").startswith("/ui/")
        if is_ours and "export" not in to.path:
            found.append(to.path + (f"?{to.query}" if to.query else ""))
    return found


def _form(path: str, menu: set[str]) -> str:
    """A page in the menu is of its own form, others are as those of as many parts below it."""
    parts = urlsplit(path)
    if path in menu or parts.path == "/ui":
        return path
    first, *more = parts.path.removeprefix("/ui/").split("/")
    return f"{first}{'/*' * len(more)}{'?' if parts.query else ''}"
