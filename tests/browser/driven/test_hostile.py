"""Names, notes, errors and documents that are pieces of HTML are shown as what they are."""

from __future__ import annotations

import pytest
from conftest import Opener
from crawl import pages
from playwright.sync_api import Page, expect
from watching import Scene, Watch, call

# As scene.py has it: an element, a script, an expression of templates.
MARK = '"><b data-hostile>x</b><img src=x onerror=alert(1)>{{7*7}}'
SCRIPT = "<script>alert(1)</script><b data-hostile>y</b>"
WORDS = f"{MARK}{SCRIPT} javascript:alert(1)"
_FOUND = """() => [...document.querySelectorAll(
    '[data-hostile], img[src="x"], a[href^="javascript:" i], script:not([src])')]
    .map(e => e.outerHTML.slice(0, 120))"""


def faults(page: Page, watch: Watch) -> list[str]:
    """What became of the marks on a page, but text."""
    found = page.evaluate(_FOUND)
    page.wait_for_timeout(20)  # what would have run has
    return [f"{page.url}: {each}" for each in [*found, *watch.unexpected()]]


@pytest.mark.parametrize("who", ["operator", "auditor", "shop"])
def test_every_page_shows_names_as_text(who: str, hostile: Scene, opened: Opener) -> None:
    wrong: list[str] = []
    shown = 0
    with opened(hostile, by=who) as (page, watch):
        for path in pages(page):
            page.goto(path)
            wrong += faults(page, watch)
            shown += MARK in page.locator("body").inner_text()
        assert not wrong, "\n".join(wrong)
        print(f"{who}: {shown} pages show a hostile name")
        assert shown >= {"operator": 10, "auditor": 2, "shop": 1}[who]


@pytest.mark.parametrize(
    "path", ["/ui/{}", "/ui/keys?text={}", "/ui/requests/{}", "/ui/usage?from={}&range=dates",
             "/ui/sign-in?next={}", "/ui/config?text={}", "/ui/keys/{}", "/ui/teams?cursor={}",
             "/#q={}"],
)  # fmt: skip
def test_addresses_are_shown_as_text(path: str, hostile: Scene, opened: Opener) -> None:
    with opened(hostile, by="operator") as (page, watch):
        watch.expected += [r"status of 4\d\d"]
        page.goto(path.format(page.evaluate("encodeURIComponent", WORDS)))
        assert not faults(page, watch)


def test_what_forms_refuse_is_shown_as_text(hostile: Scene, opened: Opener) -> None:
    with opened(hostile, by="operator") as (page, watch):
        watch.expected += [r"status of 4\d\d"]
        page.goto("/ui/keys/new")
        for field in page.locator("main").get_by_role("textbox").all():
            field.fill(WORDS)
        page.get_by_role("button", name="Create key").click()
        expect(page.get_by_role("alert").first).to_be_visible()
        assert not faults(page, watch)
        page.goto("/ui/budgets")
        for field in page.locator("#new").get_by_role("textbox").all():
            field.fill(WORDS)
        page.locator("#new").get_by_role("button").click()
        expect(page.get_by_role("alert").first).to_be_visible()
        assert not faults(page, watch)


def test_a_wrong_key_is_not_shown(hostile: Scene, opened: Opener) -> None:
    with opened(hostile) as (page, watch):
        watch.expected += [r"status of 401"]
        page.goto("/ui")
        page.get_by_label("API key").fill(WORDS)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_be_visible()
        assert "alert(1)" not in page.content()
        assert not faults(page, watch)


def test_requests_that_come_while_one_looks_are_text(hostile: Scene, opened: Opener) -> None:
    with opened(hostile, by="operator") as (page, watch):
        page.goto("/ui/requests")
        before = page.get_by_role("row").count()
        asked = {"query": "q", "documents": ["d"], "model": f"words{MARK}"}
        assert call(hostile, "/v1/rerank", asked, by="shop")["results"]
        expect(page.get_by_role("row")).to_have_count(before + 1)
        expect(page.get_by_role("row").nth(1)).to_contain_text(f"shop{MARK}")
        assert not faults(page, watch)


def test_the_playground_shows_models_texts_and_errors_as_text(
    hostile: Scene, opened: Opener
) -> None:
    with opened(hostile) as (page, watch):
        watch.expected += [r"status of 40[01]"]
        page.goto("/")
        page.get_by_label("Key", exact=True).fill(hostile.keys["shop"])
        page.keyboard.press("Tab")
        box = page.get_by_role("checkbox", name=f"words{MARK}")
        box.check()
        page.get_by_label("Query", exact=True).fill(WORDS)
        page.get_by_label("Document 1", exact=True).fill(WORDS)
        page.get_by_role("button", name="Rerank").click()
        expect(page.get_by_role("heading", name="Side by side")).to_be_visible()
        for name in page.locator("#snippet option").all_text_contents():
            page.get_by_label("As", exact=True).select_option(label=name)
        assert not faults(page, watch)
        assert WORDS in page.locator("#results").inner_text()
        page.locator("summary", has_text="Options").click()
        page.get_by_label("Overlap, tokens", exact=True).fill(MARK)
        page.get_by_role("button", name="Rerank").click()
        expect(page.get_by_role("alert").filter(visible=True).first).to_be_visible()
        assert not faults(page, watch)


def test_the_watch_sees_what_a_page_may_not_do(hostile: Scene, opened: Opener) -> None:
    with opened(hostile) as (page, watch):
        page.goto("/ui/sign-in")
        page.evaluate(
            """mark => document.querySelector('main').innerHTML =
                mark + '<img src="https://elsewhere.example/x">'""",
            MARK,
        )
        page.wait_for_timeout(200)
        found = "\n".join(faults(page, watch))
        assert "data-hostile" in found
        assert "inline event handler" in found
        assert "https://elsewhere.example" in found
        watch.expected += [r""]
