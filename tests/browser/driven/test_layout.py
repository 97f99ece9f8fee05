"""Where things stand on a page, and what a narrow screen is told of what it does not show."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from conftest import Opener
from playwright.sync_api import Page, expect
from watching import NARROW, WIDE, Scene, Somebody

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
