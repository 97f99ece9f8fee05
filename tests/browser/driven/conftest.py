"""Servers as tests/browser/scene.py starts them, one browser, pages of it that are watched."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from watching import PATIENCE_MS, Scene, Watch, watched

CHROMIUM = "/usr/bin/chromium"
SCENE = Path(__file__).parents[1] / "scene.py"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
expect.set_options(timeout=PATIENCE_MS)

Opener = Callable[..., AbstractContextManager[tuple[Page, Watch]]]


@contextmanager
def scene(kind: str) -> Generator[Scene]:
    """A server of a kind, until the end."""
    command = [os.environ["RERANKD_PYTHON"], str(SCENE), kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        said = run.stdout.readline()
        assert said, f"no scene {kind}"
        found = Scene(**json.loads(said))
        yield found
        log = Path(found.log).read_text("utf-8")
        run.communicate("")
        assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:8000]


@pytest.fixture(scope="session")
def browser() -> Generator[Browser]:
    """Debian's."""
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)


@pytest.fixture(scope="session")
def scenes() -> Generator[Callable[[str], Scene]]:
    """Servers by kind, each started when it is first needed, for all tests."""
    found: dict[str, Scene] = {}
    with ExitStack() as stack:

        def started(kind: str) -> Scene:
            if kind not in found:
                found[kind] = stack.enter_context(scene(kind))
            return found[kind]

        yield started


@pytest.fixture(scope="session")
def kept(scenes: Callable[[str], Scene]) -> Scene:
    """With a store."""
    return scenes("kept")


@pytest.fixture(scope="session")
def hostile(scenes: Callable[[str], Scene]) -> Scene:
    """With a store, where every name is a piece of HTML."""
    return scenes("hostile")


@pytest.fixture(scope="session")
def issued(scenes: Callable[[str], Scene]) -> Scene:
    """With an issuer that signs people in, on another site."""
    return scenes("issued")


@pytest.fixture(scope="session", name="open_server")
def open_scene(scenes: Callable[[str], Scene]) -> Scene:
    """Without keys and store."""
    return scenes("open")


def signing_in(browser: Browser, where: Scene, who: str) -> Any:
    """The state of a browser after a sign-in with somebody's key."""
    context = browser.new_context(base_url=where.url)
    page = context.new_page()
    page.goto("/ui")
    page.get_by_label("API key").fill(where.keys[who])
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Sign out").wait_for(timeout=PATIENCE_MS)
    found = context.storage_state()
    context.close()
    return found


@pytest.fixture(scope="session")
def signed_in(browser: Browser) -> Callable[[Scene, str], Any]:
    """The same for all tests: each sign-in is made once."""
    found: dict[tuple[str, str], Any] = {}

    def state(where: Scene, who: str) -> Any:
        if (where.url, who) not in found:
            found[where.url, who] = signing_in(browser, where, who)
        return found[where.url, who]

    return state


@pytest.fixture(scope="session")
def opened(browser: Browser, signed_in: Callable[[Scene, str], Any]) -> Opener:
    """What opens a fresh page, signed in `by` somebody; see `watching.watched`."""

    def opener(where: Scene, *, by: str = "", **options: Any) -> Any:
        signed = signed_in(where, by) if by else None
        return watched(browser, where, signed=signed, **options)

    return opener
