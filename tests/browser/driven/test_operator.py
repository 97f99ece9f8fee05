"""What an operator does with the console; steps are clicks, fields and addresses."""

from __future__ import annotations

import re
from collections.abc import Generator
from pathlib import Path

import pytest
from conftest import Opener
from playwright.sync_api import expect
from watching import ASKED, Scene, Somebody, answers, call, refuses, run_curl, until


@pytest.fixture
def operator(kept: Scene, opened: Opener) -> Generator[Somebody]:
    """Signed in, on the overview."""
    with opened(kept, by="operator") as (page, _):
        page.goto("/ui")
        yield Somebody(page)


def new_key(kept: Scene, name: str) -> str:
    """The text of a key that is made beside the console."""
    return call(kept, "/admin/v1/keys", {"name": name})["key"]


def test_a_key_is_made_and_answers(kept: Scene, opened: Opener) -> None:
    with opened(kept) as (page, _):
        operator = Somebody(page)
        operator.open("/ui")
        operator.write("API key", kept.keys["operator"])
        operator.press("Sign in")
        operator.follow("Keys")
        operator.follow("New key")
        operator.write("Name", "first-steps")
        operator.press("Create key")
        operator.steps += 1  # to paste the command into a shell
        command = page.locator("pre").filter(has_text="curl ").inner_text()
        answer = until(lambda: run_curl(command), wanted=lambda found: "results" in found)
        assert answer["results"][0]["index"] == 0
        assert operator.steps <= 8
        page.goto("/ui/keys")  # the text is shown once
        assert "sk-rk-" not in page.content()


def test_a_key_is_revoked(kept: Scene, operator: Somebody) -> None:
    text = new_key(kept, "leaver")
    answers(kept, text)
    operator.follow("Keys")
    operator.follow("leaver")
    operator.tick("Yes, revoke leaver")
    operator.press("Revoke")
    expect(operator.page.get_by_text("revoked", exact=True).first).to_be_visible()
    refuses(kept, text)
    assert operator.steps <= 4


def test_a_key_is_rotated(kept: Scene, operator: Somebody) -> None:
    text = new_key(kept, "leaked")
    operator.follow("Keys")
    operator.follow("leaked")
    operator.write("The old key stays good for", "0")
    operator.press("Rotate")
    fresh = operator.page.locator("pre").filter(has_text=re.compile(r"^sk-rk-")).inner_text()
    answers(kept, fresh)
    refuses(kept, text)
    assert operator.steps <= 4


def test_a_budget_is_set_and_its_bar_is_seen(operator: Somebody) -> None:
    operator.follow("Budgets")
    operator.write("Of the team", "support")
    operator.choose("Of what", "requests")
    operator.write("How much", "100000")
    operator.choose("In each", "month")
    operator.press("Set budget")
    row = operator.page.get_by_role("row").filter(has_text="support").filter(has_text="100")
    expect(row).to_be_visible()
    bar = row.get_by_role("img", name=re.compile(r"% used"))
    until(lambda: bar.count() or (operator.page.reload() and False))
    assert operator.steps <= 6


def test_the_spend_of_yesterday_by_team(operator: Somebody) -> None:
    operator.follow("Usage & spend")
    operator.choose("Range", "yesterday")
    operator.choose("Told apart by", "team")
    operator.press("Show")
    row = operator.page.get_by_role("row").filter(has_text="web").first
    expect(row).to_contain_text(re.compile(r"1\.25.*0\.20?.*1\.05"))  # charge, cost, margin
    expect(operator.page.get_by_role("img", name=re.compile("by time")).first).to_be_visible()
    assert operator.steps <= 4


def test_an_export_has_every_request(operator: Somebody, tmp_path: Path) -> None:
    operator.follow("Usage & spend")
    with operator.page.expect_download() as waiting:
        operator.follow("Export CSV")
    waiting.value.save_as(tmp_path / "usage.csv")
    head, *rows = (tmp_path / "usage.csv").read_text("utf-8").splitlines()
    assert "request_id" in head
    assert sum("seed-" in row for row in rows) >= 20  # two teams, five a day
    assert operator.steps <= 2


def test_an_upstream_is_tried(operator: Somebody) -> None:
    page = operator.page
    operator.follow("Upstreams")
    partner = page.locator("section").filter(has=page.get_by_role("heading", name="partner"))
    operator.unfold("Test", within=partner)
    operator.press("Test", within=partner)
    expect(page.get_by_role("heading", name=re.compile("testing partner"))).to_be_visible()
    expect(page.get_by_text("ok", exact=True).first).to_be_visible()
    assert operator.steps <= 3


def test_a_request_arrives_while_one_looks_and_its_waterfall_opens(
    kept: Scene, operator: Somebody
) -> None:
    page = operator.page
    operator.follow("Requests")
    rows = page.get_by_role("row").filter(has_text="helpdesk")
    expect(rows.first).to_be_visible()
    before = rows.count()
    answer = call(kept, "/v1/rerank", ASKED | {"model": "search"}, by="helpdesk")
    assert answer["results"]
    expect(rows).to_have_count(before + 1)  # without a step
    operator.steps += 1
    rows.first.get_by_role("link").click()
    expect(page.get_by_role("heading", name="Where the time went")).to_be_visible()
    expect(page.get_by_text("helpdesk").first).to_be_visible()
    assert operator.steps <= 2


def test_where_a_setting_comes_from(kept: Scene, operator: Somebody) -> None:
    operator.follow("Configuration")
    row = operator.page.get_by_role("row").filter(has_text="limits.wrong_keys").first
    expect(row).to_contain_text(kept.config)
    port = operator.page.get_by_role("row").filter(has_text="server.port").first
    expect(port).to_contain_text("flag")
    expect(port).to_contain_text("at a restart")
    assert operator.steps <= 1


def test_settings_are_read_again(kept: Scene, operator: Somebody) -> None:
    config = Path(kept.config)
    assert call(kept, "/v1/rerank", ASKED | {"model": "afterwards"}, by="shop")["status"] == 400
    config.write_text(config.read_text("utf-8") + 'afterwards = "rerankd-lexical"\n', "utf-8")
    operator.follow("Configuration")
    operator.press("Reload settings")
    expect(operator.page.get_by_text(re.compile(r"Taken over: .*models"))).to_be_visible()
    assert call(kept, "/v1/rerank", ASKED | {"model": "afterwards"}, by="shop")["results"]
    assert operator.steps <= 2


def test_a_caller_sees_what_is_his_and_no_more(kept: Scene, opened: Opener) -> None:
    with opened(kept, by="shop") as (page, watch):
        watch.expected += [r"status of 403"]
        page.goto("/ui")
        expect(page.get_by_role("heading", name="My usage")).to_be_visible()
        for other in ("helpdesk", "support", "operator"):
            assert other not in page.locator("body").inner_text()
        for path in ("/ui/keys", "/ui/config", "/ui/usage"):
            answer = page.goto(path)
            assert answer is not None
            assert answer.status == 403, path
