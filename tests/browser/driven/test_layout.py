"""Where things stand on a page, and what a narrow screen is told of what it does not show."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from conftest import Opener
from playwright.sync_api import Locator, Page, Route, expect
from watching import NARROW, WIDE, Scene, Somebody, until

AXE = Path(os.environ["AXE"]).read_text("utf-8")
_AXE = """async () => (await axe.run(document, {resultTypes: ['violations']})).violations
    .flatMap(({id, nodes}) => nodes.map(node => [id, node.html, node.failureSummary]))"""
_EDGE_PX = 8
# Left and right of an element's content, without its padding.
_INSIDE = """e => {
    const box = e.getBoundingClientRect(), style = getComputedStyle(e);
    return [box.left + parseFloat(style.paddingLeft), box.right - parseFloat(style.paddingRight)];
}"""
_MIDDLE = "e => { const box = e.getBoundingClientRect(); return (box.left + box.right) / 2; }"
# How far it scrolls sideways, with nothing but its ground to be seen.
_BARE = """e => {
    for (const each of e.children) each.style.visibility = 'hidden';
    return e.scrollWidth - e.clientWidth;
}"""


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("path", ["/", "/ui", "/ui/prices"])
def test_the_footer_is_as_wide_as_the_content(
    path: str, size: dict[str, int], kept: Scene, opened: Opener
) -> None:
    with opened(kept, by="operator", viewport=size) as (page, watch):
        watch.expected += [r"status of 401"]  # "/" asks without a key
        page.goto(path)
        content = page.locator("main").evaluate(_INSIDE)
        assert page.locator("footer").evaluate(_INSIDE) == pytest.approx(content, abs=0.5)


def edges(page: Page) -> Callable[[], tuple[bytes, bytes]]:
    """What takes pictures of the left and the right edge of the table's frame, as they are now."""
    box = page.locator(".scroll").first.bounding_box()
    assert box is not None
    size = {"y": box["y"], "width": _EDGE_PX, "height": min(box["height"], 40)}
    left, right = box["x"], box["x"] + box["width"] - _EDGE_PX

    def take() -> tuple[bytes, bytes]:
        return (
            page.screenshot(clip={"x": left, **size}),
            page.screenshot(clip={"x": right, **size}),
        )

    return take


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_screen_sees_on_which_side_a_table_goes_on(
    scheme: str, kept: Scene, opened: Opener
) -> None:
    with opened(kept, by="operator", viewport=NARROW, color_scheme=scheme) as (page, _):
        page.goto("/ui/prices")
        table = page.locator(".scroll").first
        table.scroll_into_view_if_needed()
        assert table.evaluate(_BARE) > 2 * _EDGE_PX
        take = edges(page)
        plain, more_right = take()
        assert more_right != plain
        table.evaluate("e => { e.scrollLeft = e.scrollWidth; }")
        more_left, end = take()
        assert end == plain
        assert more_left != plain


def test_lines_between_ranks_stand_above_the_answers(open_server: Scene, opened: Opener) -> None:
    with opened(open_server) as (page, _):
        visitor = Somebody(page)
        visitor.open("/")
        page.get_by_role("checkbox", name="rerankd-lexical").check()
        visitor.press("Rerank")
        lines = page.get_by_role("img", name="Ranks of each document by model")
        expect(lines).to_be_visible()
        cards = [each.evaluate(_MIDDLE) for each in page.locator(".answer").all()]
        assert len(cards) == 2
        for texts in (lines.locator("[data-line='0'] text"), page.locator(".ranks .names > *")):
            found = [each.evaluate(_MIDDLE) for each in texts.all()]
            assert found == pytest.approx(cards, abs=1)


@pytest.fixture
def small(open_server: Scene, opened: Opener) -> Generator[Somebody]:
    """On the playground with a screen that has no place for form and answer side by side."""
    with opened(open_server, viewport=NARROW, reduced_motion="reduce") as (page, _):
        page.context.add_init_script(AXE)
        visitor = Somebody(page)
        visitor.open("/")
        expect(page.get_by_role("checkbox", name="rerankd-mini")).to_be_checked()
        yield visitor


def fold_of(page: Page) -> Locator:
    """The button that opens and closes the form."""
    return page.get_by_role("button", name="Query, documents, models", exact=True)


def test_a_form_folds_above_its_answer_and_opens_by_keyboard(small: Somebody) -> None:
    page, fold = small.page, fold_of(small.page)
    query = page.get_by_label("Query", exact=True)
    expect(fold).to_be_hidden()
    page.get_by_role("button", name="Rerank").focus()
    page.keyboard.press("Enter")
    expect(fold).to_have_attribute("aria-expanded", "false")
    expect(fold).to_be_focused()
    expect(query).to_be_hidden()
    expect(page.locator("#folded")).to_have_text(
        "Which city is the capital of Japan? · 5 documents"
    )
    expect(page.locator(".hit").first).to_be_in_viewport()
    assert page.evaluate(_AXE) == []
    page.keyboard.press("Enter")
    expect(fold).to_have_attribute("aria-expanded", "true")
    expect(fold).to_be_focused()
    expect(query).to_be_visible()
    assert page.evaluate(_AXE) == []
    page.keyboard.press("Tab")
    expect(query).to_be_focused()


def test_a_folded_form_opens_for_what_has_to_be_seen_in_it(small: Somebody, tmp_path: Path) -> None:
    page, fold = small.page, fold_of(small.page)
    (tmp_path / "a.json").write_text('["one", "two"]', "utf-8")
    small.press("Rerank")
    expect(fold).to_have_attribute("aria-expanded", "false")
    page.locator("#files").set_input_files(tmp_path / "a.json")  # as a file that is dropped
    expect(page.get_by_label("Document 7", exact=True)).to_be_visible()
    small.press("Rerank")
    expect(fold).to_have_attribute("aria-expanded", "false")
    page.set_viewport_size(WIDE)
    expect(page.get_by_label("Query", exact=True)).to_be_visible()
    expect(fold).to_be_hidden()


def test_a_form_that_is_refused_or_edited_meanwhile_stays_open(
    open_server: Scene, opened: Opener
) -> None:
    with opened(open_server, viewport=NARROW) as (page, watch):
        watch.expected += [r"status of 400"]
        visitor = Somebody(page)
        visitor.open("/")
        query = page.get_by_label("Query", exact=True)
        query.fill("")
        visitor.press("Rerank")
        expect(query).to_have_attribute("aria-invalid", "true")
        expect(query).to_be_visible()
        query.fill("Tokyo?")
        held: list[Route] = []

        def hold(route: Route) -> None:
            held.append(route)

        page.route("**/v1/rerank/explain", hold)
        visitor.press("Rerank")
        until(lambda: page.wait_for_timeout(20) or held)
        query.fill("Osaka?")
        held.pop().continue_()
        expect(page.locator(".hit")).to_have_count(5)
        visitor.sees("document 3 first")
        expect(query).to_be_visible()
