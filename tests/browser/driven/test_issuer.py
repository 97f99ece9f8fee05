"""Sign-in by an issuer on another site: what cookies of a real browser do there and back."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from conftest import Opener
from playwright.sync_api import Page, expect
from watching import NARROW, Scene, Somebody, Watch

_AXE = "() => axe.run(document, {resultTypes: ['violations']})"


def leave(page: Page, watch: Watch, issued: Scene) -> Somebody:
    """From a page that needs a sign-in to the issuer's."""
    watch.expected.append(re.escape(f"asks {issued.issuer}/authorize"))
    page.goto("/ui/usage?by=team")
    somebody = Somebody(page)
    somebody.follow("Sign in with Example Login")
    page.wait_for_url(f"{issued.issuer}/**")
    return somebody


@pytest.mark.parametrize("scripts", [True, False])
def test_somebody_signs_in_and_lands_where_he_wanted(
    issued: Scene, opened: Opener, *, scripts: bool
) -> None:
    with opened(issued, java_script_enabled=scripts) as (page, watch):
        somebody = leave(page, watch, issued)
        somebody.follow("anna")
        expect(page.get_by_role("heading", level=1)).to_have_text("Usage & spend")
        assert page.url == f"{issued.url}/ui/usage?by=team"
        expect(page.get_by_text("oidc:anna")).to_be_visible()
        assert somebody.steps == 2
        cookies = {each["name"]: each for each in page.context.cookies(issued.url)}
        assert set(cookies) == {"rerankd_session"}
        assert cookies["rerankd_session"]["sameSite"] == "Strict"
        page.goto("/ui/teams")
        somebody.press("Sign out")
        expect(page.get_by_role("link", name="Sign in with Example Login")).to_be_visible()


def test_who_has_no_role_is_told_so_as_text(issued: Scene, opened: Opener) -> None:
    with opened(issued) as (page, watch):
        watch.expected.append("403")
        leave(page, watch, issued).follow("eve")
        expect(page.get_by_role("alert")).to_contain_text(
            'This console is not for "><b data-hostile'
        )
        assert page.locator("[data-hostile]").count() == 0
        assert not page.context.cookies(issued.url)


def test_a_link_back_that_another_browser_made_signs_nobody_in(
    issued: Scene, opened: Opener
) -> None:
    with opened(issued) as (page, watch):
        leave(page, watch, issued)
        made = page.get_by_role("link", name="anna").get_attribute("href")
    assert made is not None
    with opened(issued) as (page, watch):
        watch.expected.append("400")
        page.goto(made)
        expect(page.get_by_role("alert")).to_contain_text("not begun in this browser")
        assert not page.context.cookies(issued.url)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_with_the_issuers_button(issued: Scene, opened: Opener, scheme: str) -> None:
    with opened(issued, viewport=NARROW, color_scheme=scheme, bypass_csp=True) as (page, _):
        page.goto("/ui/sign-in")
        page.add_script_tag(path=str(Path(os.environ["AXE"])))
        assert page.evaluate(_AXE)["violations"] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
