"""Pages of the console that no link leads to: what a form answers with."""

from __future__ import annotations

import re
from collections.abc import Generator

from playwright.sync_api import Page
from watching import Somebody


def answered_forms(page: Page) -> Generator[str]:
    """Their names, each while it is open to an operator: a key's text, an upstream's test."""
    operator = Somebody(page)
    operator.open("/ui/keys/new")
    operator.write("Name", "pictured")
    operator.press("Create key")
    page.get_by_role("region", name="New key").wait_for()
    yield "key-made"
    operator.open("/ui/upstreams")
    partner = page.locator("section").filter(has=page.get_by_role("heading", name="partner"))
    operator.unfold("Test", within=partner)
    operator.press("Test", within=partner)
    page.get_by_role("heading", name=re.compile("testing partner")).wait_for()
    yield "upstream-tested"
