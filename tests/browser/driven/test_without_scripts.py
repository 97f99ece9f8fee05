"""The console with JavaScript switched off: everything is there, and forms work."""

from __future__ import annotations

import re
from collections.abc import Generator

import pytest
from conftest import Opener
from crawl import pages
from playwright.sync_api import expect
from watching import Scene, Somebody, answers, refuses


@pytest.fixture
def operator(kept: Scene, opened: Opener) -> Generator[Somebody]:
    """On the overview, without scripts."""
    with opened(kept, by="operator", java_script_enabled=False) as (page, _):
        page.goto("/ui")
        yield Somebody(page)


def test_every_page_has_its_content(operator: Somebody) -> None:
    page = operator.page
    found = pages(page)
    assert len(found) >= 11
    for path in found:
        page.goto(path)
        assert page.get_by_role("heading", level=1).inner_text(), path
        assert len(page.locator("main").inner_text()) > 60, path
        for copy in page.locator("[data-copy], [data-pause]").all():
            assert not copy.is_visible(), path  # what only scripts can do is not offered


def test_tables_have_the_numbers_of_the_charts(operator: Somebody) -> None:
    page = operator.page
    operator.follow("Usage & spend")
    operator.choose("Range", "yesterday")
    operator.choose("Told apart by", "team")
    operator.press("Show")
    expect(page.get_by_role("row").filter(has_text="web").first).to_contain_text("1.25")
    operator.follow("Requests")
    expect(page.get_by_role("row").filter(has_text="helpdesk").first).to_be_visible()


def test_a_key_is_made_limited_and_revoked(kept: Scene, operator: Somebody) -> None:
    page = operator.page
    operator.follow("Keys")
    operator.follow("New key")
    operator.write("Name", "plain")
    operator.press("Create key")
    text = page.locator("pre").filter(has_text=re.compile(r"^sk-rk-")).inner_text()
    answers(kept, text)
    operator.follow("To the key: limits, budgets")
    operator.write("Requests per minute", "7")
    operator.press("Save")
    expect(page.get_by_label("Requests per minute", exact=True)).to_have_value("7")
    operator.tick("Yes, revoke plain")
    operator.press("Revoke")
    refuses(kept, text)


def test_a_refused_form_keeps_what_was_written(kept: Scene, opened: Opener) -> None:
    with opened(kept, by="operator", java_script_enabled=False) as (page, watch):
        watch.expected += [r"status of 400"]
        page.goto("/ui")
        refused_form(Somebody(page))


def refused_form(operator: Somebody) -> None:
    """A field that is wrong, beside one that is right."""
    page = operator.page
    operator.follow("Keys")
    operator.follow("New key")
    operator.write("Name", "half-right")
    operator.write("Requests per minute", "many")
    operator.press("Create key")
    field = page.get_by_label("Requests per minute", exact=True)
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_value("many")
    expect(page.get_by_label("Name", exact=True)).to_have_value("half-right")
