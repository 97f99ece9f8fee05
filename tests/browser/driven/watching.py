"""A page that is watched: what it asks of whom, what it complains of; and somebody who uses it."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Locator,
    Page,
    expect,
)
from playwright.sync_api import Request as PageRequest

PATIENCE_MS = 60_000
WIDE = {"width": 1440, "height": 900}
NARROW = {"width": 360, "height": 740}
CONTEXT: dict[str, Any] = {"viewport": WIDE, "locale": "en", "timezone_id": "UTC"}


@dataclass(frozen=True)
class Scene:
    """A server and who may call it."""

    url: str
    keys: dict[str, str]
    config: str = ""


@dataclass
class Watch:
    """What no page may do, as it is done."""

    origin: str
    wrong: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)  # patterns of complaints that are right

    def hear(self, message: ConsoleMessage) -> None:
        """An error or a warning of the page; those of the policy are among them."""
        if message.type in ("error", "warning"):
            self.wrong.append(f"{message.type}: {message.text}")

    def see(self, request: PageRequest) -> None:
        """Who is asked."""
        asked = urlsplit(request.url)
        if (
            asked.scheme not in ("data", "blob")
            and f"{asked.scheme}://{asked.netloc}" != self.origin
        ):
            self.wrong.append(f"asks {request.url[:200]}")

    def dismiss(self, dialog: Dialog) -> None:
        """A box that a script opens."""
        self.wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def unexpected(self) -> list[str]:
        """All but what is right."""
        return [
            each
            for each in self.wrong
            if not any(re.search(pattern, each) for pattern in self.expected)
        ]


@contextmanager
def watched(
    browser: Browser, scene: Scene, *, signed: Any = None, **options: Any
) -> Generator[tuple[Page, Watch]]:
    """A fresh page of a browser; at the end nothing may have been wrong.

    `signed`: the state of a browser that is signed in; `options`: of the context.
    """
    context: BrowserContext = browser.new_context(
        base_url=scene.url, storage_state=signed, **CONTEXT | options
    )
    context.set_default_timeout(PATIENCE_MS)
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=scene.url)
    page = context.new_page()
    watch = Watch(scene.url)
    page.on("console", watch.hear)
    page.on("pageerror", lambda error: watch.wrong.append(f"uncaught: {error}"))
    page.on("request", watch.see)
    page.on("dialog", watch.dismiss)
    try:
        yield page, watch
        assert not watch.unexpected(), "\n".join(watch.unexpected())
    finally:
        context.close()


class Somebody:
    """Uses a page as people do, by what things are called; every action is a step."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.steps = 0

    def open(self, path: str) -> None:
        """Go to a page by its address."""
        self.steps += 1
        self.page.goto(path)

    def press(self, name: str | re.Pattern[str], *, within: Locator | None = None) -> None:
        """A button."""
        self._do((within or self.page).get_by_role("button", name=name)).click()

    def follow(self, name: str | re.Pattern[str], *, within: Locator | None = None) -> None:
        """A link."""
        self._do((within or self.page).get_by_role("link", name=name)).click()

    def unfold(self, name: str | re.Pattern[str]) -> None:
        """A summary."""
        self._do(self.page.locator("summary", has_text=name)).click()

    def write(self, label: str | re.Pattern[str], text: str) -> None:
        """Into a field."""
        self._do(self.page.get_by_label(label)).fill(text)

    def choose(self, label: str | re.Pattern[str], option: str) -> None:
        """From a list."""
        self._do(self.page.get_by_label(label)).select_option(label=option)

    def tick(self, label: str | re.Pattern[str]) -> None:
        """A box."""
        self._do(self.page.get_by_label(label)).check()

    def sees(self, text: str | re.Pattern[str]) -> Locator:
        """A text that comes up; not a step."""
        found = self.page.get_by_text(text).first
        expect(found).to_be_visible(timeout=PATIENCE_MS)
        return found

    def _do(self, found: Locator) -> Locator:
        self.steps += 1
        return found
