"""A page that is watched: what it asks of whom, what it complains of; and somebody who uses it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
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

PATIENCE_MS = 1000 * int(os.environ.get("PATIENCE_S", "60"))
WIDE = {"width": 1440, "height": 900}
ASKED = {"query": "Where is it?", "documents": ["It is here.", "Nobody knows."]}
NARROW = {"width": 360, "height": 740}
CONTEXT: dict[str, Any] = {"viewport": WIDE, "locale": "en", "timezone_id": "UTC"}


@dataclass(frozen=True)
class Scene:
    """A server and who may call it."""

    url: str
    keys: dict[str, str]
    log: str
    config: str = ""
    issuer: str = ""


@dataclass
class Watch:
    """What no page may do, as it is done."""

    origin: str
    wrong: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)  # patterns of complaints that are right

    def hear(self, message: ConsoleMessage) -> None:
        """An error or a warning of the page; those of the policy are among them."""
        if message.type in ("error", "warning"):
            where = message.location.get("url", "")
            self.wrong.append(f"{message.type}: {message.text} {where}")

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


def call(scene: Scene, path: str, body: Any, *, by: str = "operator", key: str = "") -> Any:
    """POST JSON with somebody's key, or any other; the JSON, with the status of a refusal."""
    sent = {
        "authorization": f"Bearer {key or scene.keys[by]}",
        "content-type": "application/json",
    }
    connection = HTTPConnection(urlsplit(scene.url).netloc, timeout=PATIENCE_MS / 1000)
    try:
        connection.request("POST", path, json.dumps(body), sent)
        answer = connection.getresponse()
        return json.load(answer) if answer.status < 300 else {"status": answer.status}
    finally:
        connection.close()


def until(found: Callable[[], Any], *, wanted: Callable[[Any], bool] = bool) -> Any:
    """What is found once it is wanted: servers see a change in the store within two seconds."""
    end = time.monotonic() + PATIENCE_MS / 1000
    while not wanted(last := found()):
        assert time.monotonic() < end, last
        time.sleep(0.1)
    return last


def answers(scene: Scene, key: str) -> None:
    """A key is good."""
    until(lambda: call(scene, "/v1/rerank", ASKED, key=key), wanted=lambda a: "results" in a)


def refuses(scene: Scene, key: str) -> None:
    """A key is good no more."""
    until(
        lambda: call(scene, "/v1/rerank", ASKED, key=key), wanted=lambda a: a.get("status") == 401
    )


def run_curl(command: str) -> Any:
    """What a command for a shell answers, as JSON."""
    shell = ["bash", "-c", command]
    done = subprocess.run(shell, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return json.loads(done.stdout)


class Somebody:
    """Uses a page as people do, by what things are called; every action is a step."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.steps = 0

    def open(self, path: str) -> None:
        """Go to a page by its address."""
        self.steps += 1
        self.page.goto(path)

    def press(self, name: str, *, within: Locator | None = None) -> None:
        """A button."""
        self._do((within or self.page).get_by_role("button", name=name, exact=True)).click()

    def follow(self, name: str, *, within: Locator | None = None) -> None:
        """A link."""
        self._do((within or self.page).get_by_role("link", name=name, exact=True)).click()

    def unfold(self, name: str, *, within: Locator | None = None) -> None:
        """A summary."""
        self._do((within or self.page).locator("summary").filter(has_text=name)).click()

    def write(self, label: str, text: str) -> None:
        """Into a field."""
        self._do(self.page.get_by_label(label, exact=True)).fill(text)

    def choose(self, label: str, option: str) -> None:
        """From a list."""
        self._do(self.page.get_by_label(label, exact=True)).select_option(label=option)

    def tick(self, label: str) -> None:
        """A box."""
        self._do(self.page.get_by_label(label, exact=True)).check()

    def sees(self, text: str | re.Pattern[str]) -> Locator:
        """A text that comes up; not a step."""
        found = self.page.get_by_text(text).first
        expect(found).to_be_visible(timeout=PATIENCE_MS)
        return found

    def _do(self, found: Locator) -> Locator:
        self.steps += 1
        return found
