"""Pictures of every page, with who sees it, its width and its colours in the file's name.

screenshots.py OUT
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from conftest import CHROMIUM, FLAGS, scene, signing_in
from crawl import pages
from forms import answered_forms
from playwright.sync_api import Browser, Page, sync_playwright
from watching import NARROW, WIDE, Scene

SIZES = (WIDE, NARROW)
Take = Callable[..., None]


def taking(out: Path) -> Take:
    """What makes the pictures of a page as it is now: two of each width."""

    def take(page: Page, name: str, sizes: Sequence[dict[str, int]] = SIZES) -> None:
        for size in sizes:
            width = size["width"]
            page.set_viewport_size(size)
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                page.wait_for_timeout(150)
                path = out / f"{name}-{width}-{scheme}.png"
                page.screenshot(path=path, full_page=True)
                print(path)

    return take


def named(path: str) -> str:
    """A page's path as part of a file's name."""
    return re.sub(r"\W+", "-", path).strip("-") or "playground"


def console(browser: Browser, kept: Scene, who: str, take: Take) -> None:
    """All pages of somebody who is signed in."""
    state: Any = signing_in(browser, kept, who)
    page = browser.new_context(base_url=kept.url, storage_state=state).new_page()
    for path in pages(page):
        page.goto(path, wait_until="networkidle")
        take(page, f"{who}-{named(path)}")
    if who == "operator":
        for name in answered_forms(page):
            take(page, f"{who}-{name}")
    page.context.close()


def others(browser: Browser, kept: Scene, at_home: Scene, take: Take) -> None:
    """The sign-in, the console without a store, the playground before and after an answer."""
    page = browser.new_context(base_url=kept.url).new_page()
    page.goto("/ui")
    take(page, "sign-in")
    page.get_by_label("API key").fill("sk-rk-wrong")
    page.get_by_role("button", name="Sign in").click()
    take(page, "sign-in-refused")
    page.context.close()
    page = browser.new_context(base_url=at_home.url).new_page()
    page.goto("/ui")
    take(page, "no-store")
    page.goto("/", wait_until="networkidle")
    take(page, "playground")
    page.get_by_role("button", name="Rerank").click()
    page.locator(".hit").first.wait_for()
    take(page, "playground-answer")
    for box in page.get_by_role("group", name="Models").get_by_role("checkbox").all():
        box.check()
    page.get_by_role("button", name="Rerank").click()
    page.get_by_role("heading", name="Side by side").wait_for()
    page.get_by_role("button", name="Document 3 is relevant").first.click()
    take(page, "playground-two-models")
    page.set_viewport_size(NARROW)
    page.get_by_role("button", name="Rerank").click()
    page.get_by_role("button", name="Query, documents, models", expanded=False).wait_for()
    take(page, "playground-folded", [NARROW])


def by_an_issuer(browser: Browser, issued: Scene, take: Take) -> None:
    """The sign-in with its button, and who is told no."""
    page = browser.new_context(base_url=issued.url).new_page()
    page.goto("/ui")
    take(page, "sign-in-issuer")
    page.get_by_role("link", name="Sign in with Example Login").click()
    page.get_by_role("link", name="eve").click()
    page.get_by_role("alert").wait_for()
    take(page, "sign-in-issuer-refused")
    page.context.close()


def main(out: Path) -> None:
    """All of them."""
    take = taking(out)
    with ExitStack() as stack:
        kept, at_home = stack.enter_context(scene("kept")), stack.enter_context(scene("open"))
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        others(browser, kept, at_home, take)
        by_an_issuer(browser, stack.enter_context(scene("issued")), take)
        for who in ("operator", "shop"):
            console(browser, kept, who, take)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
