"""Every page that somebody can get to: accessible, narrow enough, by keyboard, small."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import Opener
from crawl import pages
from forms import answered_forms
from playwright.sync_api import Page
from watching import NARROW, WIDE, Scene

FIRST_PAINT_BYTES = 150_000
AXE = Path(os.environ["AXE"]).read_text("utf-8")
VISITORS = ("operator", "auditor", "shop", "open")
_MOST_TABS = 80
_AXE = "() => axe.run(document, {resultTypes: ['violations']})"
_FOCUS = """() => {
    const e = document.activeElement, style = getComputedStyle(e), box = e.getBoundingClientRect();
    return {
        what: `${e.tagName.toLowerCase()} ${e.textContent.trim().slice(0, 30) || e.name || e.id}`,
        isBody: e === document.body,
        isMain: Boolean(e.closest('main')),
        isSeen: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1
            && box.width > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0,
    };
}"""
_WIDEST = """() => [...document.querySelectorAll('body *')]
    .map(e => [e.getBoundingClientRect().right, e.outerHTML.slice(0, 80)])
    .sort((a, b) => b[0] - a[0])[0]"""


@dataclass
class Seen:
    """What is wrong with the pages of one visitor, by page."""

    pages: list[str] = field(default_factory=list)
    axe: list[str] = field(default_factory=list)
    wide: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)  # a focus that cannot be seen
    shut: list[str] = field(default_factory=list)  # pages whose content no key gets to

    def look(self, page: Page, path: str) -> None:
        """Everything about the page at a path."""
        page.goto(path, wait_until="networkidle")
        self.look_at(page, path)

    def look_at(self, page: Page, path: str) -> None:
        """The page that is open, on a wide screen."""
        self.pages.append(path)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            for each in page.evaluate(_AXE)["violations"]:
                for node in each["nodes"]:
                    self.axe.append(f"{path} ({scheme}): {each['id']}: {node['html'][:200]}")
        self._tab(page, path)
        page.set_viewport_size(NARROW)
        width = page.evaluate("() => document.documentElement.scrollWidth")
        if width > NARROW["width"]:
            self.wide.append(f"{path}: {width} px, {page.evaluate(_WIDEST)}")
        page.set_viewport_size(WIDE)

    def _tab(self, page: Page, path: str) -> None:
        has_content = page.locator("main").locator("a[href], button, input:visible").count() > 0
        page.evaluate("() => document.activeElement.blur()")
        for _ in range(_MOST_TABS):
            page.keyboard.press("Tab")
            focus = page.evaluate(_FOCUS)
            if focus["isBody"]:
                break
            if not focus["isSeen"]:
                self.lost.append(f"{path}: {focus['what']}")
            has_content = has_content and not focus["isMain"]
        if has_content:
            self.shut.append(path)


@pytest.fixture(scope="module")
def seen(opened: Opener, kept: Scene, open_server: Scene) -> Callable[[str], Seen]:
    """What somebody finds; each one looks once."""
    found: dict[str, Seen] = {}

    def look(who: str) -> Seen:
        if who in found:
            return found[who]
        found[who] = made = Seen()
        is_open = who == "open"
        with opened(open_server if is_open else kept, by="" if is_open else who) as (page, watch):
            watch.expected += [r"status of 40[134]"]  # of the pages that are there to refuse
            ours = ["/ui"] if is_open else [*pages(page), "/ui/nothing-there", "/ui/sign-in"]
            page.context.add_init_script(AXE)
            for path in [*ours, "/"]:
                made.look(page, path)
        return made

    return look


@pytest.mark.parametrize("who", VISITORS)
def test_axe_finds_nothing_light_or_dark(who: str, seen: Callable[[str], Seen]) -> None:
    found = seen(who)
    print(f"{who}: {len(found.pages)} pages: {', '.join(found.pages)}")
    assert not found.axe, "\n".join(found.axe)


@pytest.mark.parametrize("who", VISITORS)
def test_no_page_is_wider_than_a_small_screen(who: str, seen: Callable[[str], Seen]) -> None:
    assert not seen(who).wide, "\n".join(seen(who).wide)


@pytest.mark.parametrize("who", VISITORS)
def test_the_keyboard_gets_to_the_content_and_its_focus_is_seen(
    who: str, seen: Callable[[str], Seen]
) -> None:
    assert not seen(who).lost, "\n".join(seen(who).lost)
    assert not seen(who).shut, "\n".join(seen(who).shut)


def test_what_forms_answer_with_is_as_good_a_page(kept: Scene, opened: Opener) -> None:
    seen = Seen()
    with opened(kept, by="operator") as (page, _):
        page.context.add_init_script(AXE)
        for name in answered_forms(page):
            seen.look_at(page, name)
    assert seen == Seen(pages=["key-made", "upstream-tested"])


@pytest.mark.parametrize("path", ["/", "/ui"])
def test_the_first_paint_is_small(path: str, kept: Scene, opened: Opener) -> None:
    sizes: dict[str, int] = {}
    with opened(kept, by="operator") as (page, watch):
        watch.expected += [r"status of 401"]  # "/" asks without a key
        page.on(
            "requestfinished",
            lambda each: sizes.update(
                {each.url: each.sizes()["responseBodySize"] + each.sizes()["responseHeadersSize"]}
            ),
        )
        page.goto(path, wait_until="networkidle")
    print(f"{path}: {sum(sizes.values())} bytes in {len(sizes)} answers")
    assert len(sizes) > 3
    assert sum(sizes.values()) <= FIRST_PAINT_BYTES, sizes
