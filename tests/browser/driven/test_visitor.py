"""What a visitor does with the playground, step by step."""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Generator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from conftest import Opener
from playwright.sync_api import Locator, Page, Route, expect
from watching import Scene, Somebody, run_curl, until

ANSWER_MS = 100  # from the server's answer to the screen
_TRIES = 5
# When an answer's first document was on the screen, after its last byte was here.
_WATCH = """() => {
    window.shownAt = null;
    new MutationObserver((_, observer) => {
        if (!document.querySelector('#results .hit')) return;
        observer.disconnect();
        requestAnimationFrame(() => setTimeout(() => { window.shownAt = performance.now(); }));
    }).observe(document.getElementById('results'), {childList: true, subtree: true});
}"""
_TOOK = """() => window.shownAt
    - performance.getEntriesByType('resource').filter(e => e.name.includes('/v1/rerank')).at(-1)
        .responseEnd"""


@pytest.fixture
def visitor(open_server: Scene, opened: Opener) -> Generator[Somebody]:
    """On the playground, with its example."""
    with opened(open_server) as (page, _):
        somebody = Somebody(page)
        somebody.open("/")
        yield somebody


def hits(page: Page, model: str = "rerankd-mini") -> Locator:
    """The documents of a model's answer, best first."""
    return page.get_by_role("region", name=f"Answer of {model}").locator(".hit")


def copied(page: Page) -> str:
    """What is in the clipboard."""
    return page.evaluate("() => navigator.clipboard.readText()")


def test_the_example_is_ranked(visitor: Somebody) -> None:
    visitor.press("Rerank")
    expect(hits(visitor.page)).to_have_count(5)
    expect(hits(visitor.page).first).to_contain_text("Tokyo is the capital of Japan")
    expect(hits(visitor.page).first.locator("mark").first).to_be_visible()
    assert visitor.steps <= 2


def test_who_is_faster_than_the_list_of_models_is_answered(
    open_server: Scene, opened: Opener
) -> None:
    with opened(open_server) as (page, _):
        held: list[Route] = []

        def hold(route: Route) -> None:
            held.append(route)

        page.route("**/v1/models", hold)
        somebody = Somebody(page)
        somebody.open("/")
        somebody.press("Rerank")
        while not held:
            page.wait_for_timeout(10)
        held[0].continue_()
        expect(hits(page)).to_have_count(5)


def test_a_document_is_added(visitor: Somebody) -> None:
    visitor.press("Add")
    visitor.write("Document 6", "Yes: Tokyo is the capital city of Japan.")
    visitor.press("Rerank")
    expect(hits(visitor.page)).to_have_count(6)
    expect(hits(visitor.page).filter(has_text="Yes: Tokyo")).to_have_count(1)
    assert visitor.steps <= 4


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"text": "Tokyo is a capital."}\n"Rome is one too."\n'),
        ("a.csv", 'id,text\r\n1,"Tokyo is a ""capital""."\r\n2,Rome is one too.\r\n'),
        ("a.json", '["Tokyo is a capital.", {"content": "Rome is one too."}]'),
    ],
)
def test_a_file_is_loaded(visitor: Somebody, tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, "utf-8")
    visitor.press("Clear")
    visitor.unfold("Paste or load several")
    visitor.steps += 1
    visitor.page.get_by_label("Files:").set_input_files(tmp_path / name)
    visitor.press("Rerank")
    expect(hits(visitor.page)).to_have_count(2)
    expect(hits(visitor.page).first).to_contain_text("Tokyo is a")
    assert visitor.steps <= 5


# As a pointer that brings files from outside: the browser's own events, with what they carry.
_DROP = """([name, content]) => {
    const carried = new DataTransfer();
    carried.items.add(new File([content], name));
    const at = document.querySelector('main');
    for (const kind of ['dragenter', 'dragover', 'drop'])
        at.dispatchEvent(
            new DragEvent(kind, {bubbles: true, cancelable: true, dataTransfer: carried}));
}"""


@pytest.mark.parametrize(
    ("name", "content", "documents"),
    [
        ("a.txt", "Tokyo is a capital.\n\nRome is one too.", 1),
        ("a.jsonl", '{"text": "Tokyo is a capital."}\n"Rome is one too."\n', 2),
        ("a.csv", "id,text\r\n1,Tokyo is a capital.\r\n2,Rome is one too.\r\n", 2),
    ],
)
def test_a_file_is_dropped(visitor: Somebody, name: str, content: str, documents: int) -> None:
    visitor.press("Clear")
    visitor.steps += 1
    visitor.page.evaluate(_DROP, [name, content])
    visitor.press("Rerank")
    expect(hits(visitor.page)).to_have_count(documents)
    expect(hits(visitor.page).first).to_contain_text("Tokyo is a capital.")
    expect(visitor.page.locator("body.dropping")).to_have_count(0)
    assert visitor.steps <= 4


def png(width: int, height: int) -> bytes:
    """A grey picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        sealed = kind + data
        return struct.pack(">I", len(data)) + sealed + struct.pack(">I", zlib.crc32(sealed))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    lines = zlib.compress((b"\0" + b"\x80" * width) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")


def test_an_image_is_seen_and_refused_at_its_place_by_a_model_of_texts(
    open_server: Scene, opened: Opener, tmp_path: Path
) -> None:
    (tmp_path / "tower.png").write_bytes(png(40, 30))
    with opened(open_server) as (page, watch):
        watch.expected += [r"status of 400"]
        visitor = Somebody(page)
        visitor.open("/")
        visitor.unfold("Paste or load several")
        page.get_by_label("Files:").set_input_files(tmp_path / "tower.png")
        place = page.get_by_role("group", name="Documents").get_by_role("listitem").nth(5)
        thumbnail = place.get_by_role("img", name="tower.png")
        expect(thumbnail).to_be_visible()
        expect(place).to_contain_text("tower.png · 40 × 30 pixels")
        expect(place).to_contain_text("No chosen model reads images")
        visitor.press("Rerank")
        said = page.get_by_role("group", name="Documents").get_by_role("alert")
        expect(said).to_contain_text("documents[5]: is an image; rerankd-mini reads text only")
        expect(place).to_have_class("wrong")
        expect(hits(page)).to_have_count(0)
        visitor.press("Remove document 6")
        visitor.press("Rerank")
        expect(hits(page)).to_have_count(5)
        expect(said).to_have_count(0)


def test_a_file_that_is_none_is_told_by_name(visitor: Somebody, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('"good"\nnot json\n', "utf-8")
    visitor.unfold("Paste or load several")
    visitor.page.get_by_label("Files:").set_input_files(tmp_path / "a.jsonl")
    visitor.sees("a.jsonl, line 2")


def test_two_models_are_compared(visitor: Somebody) -> None:
    page = visitor.page
    visitor.steps += 1
    page.get_by_role("checkbox", name="rerankd-lexical").check()
    visitor.press("Rerank")
    table = page.get_by_role("region", name="Side by side").get_by_role("table").first
    expect(table.get_by_role("row")).to_have_count(3)
    expect(table.get_by_role("row").nth(1)).to_contain_text("1.00")  # as itself
    expect(hits(page, "rerankd-lexical")).to_have_count(5)
    assert visitor.steps <= 3


def test_marks_give_ndcg_and_a_collection(visitor: Somebody) -> None:
    page = visitor.page
    visitor.press("Rerank")
    visitor.press("Document 3 is relevant")
    expect(page.get_by_role("region", name="Answer of rerankd-mini")).to_contain_text(
        "nDCG@10 1.00"
    )
    with page.expect_download() as waiting:
        visitor.press("Save as a collection")
    saved = zipfile.ZipFile(io.BytesIO(Path(waiting.value.path()).read_bytes()))
    names = [name for name in saved.namelist() if not name.endswith("/")]
    files = {name.rpartition("/")[2]: saved.read(name).decode() for name in names}
    assert files.keys() == {"queries.jsonl", "docs.jsonl", "qrels.tsv", "candidates.jsonl"}
    assert files["qrels.tsv"] == "q1\td3\t1\n"
    assert len(files["docs.jsonl"].splitlines()) == 5
    assert visitor.steps <= 4


def test_the_curl_command_runs_as_it_is_copied(visitor: Somebody) -> None:
    visitor.write("Query", "What's 'quoted' and \"double\" $HOME `id`?")
    visitor.press("Copy")
    answer = run_curl(copied(visitor.page))
    assert len(answer["results"]) == 5
    assert visitor.steps <= 3


def test_a_link_opens_the_same_query_elsewhere(
    visitor: Somebody, open_server: Scene, opened: Opener
) -> None:
    visitor.write("Query", "Größe & 東京?")
    visitor.press("Copy a link to this query")
    link = copied(visitor.page)
    assert visitor.steps <= 3
    with opened(open_server) as (page, _):
        page.goto(link)
        expect(page.get_by_label("Query", exact=True)).to_have_value("Größe & 東京?")
        expect(page.get_by_label("Document 3", exact=True)).to_have_value(
            "Tokyo is the capital of Japan and its most populous metropolis."
        )


@pytest.mark.parametrize(
    ("label", "text", "said"),
    [("Overlap, tokens", "-1", "overlap_tokens"), ("Query", "", "query")],
)
def test_the_servers_sentence_is_at_the_field_that_is_wrong(
    open_server: Scene, opened: Opener, label: str, text: str, said: str
) -> None:
    with opened(open_server) as (page, watch):
        watch.expected += [r"status of 400"]
        visitor = Somebody(page)
        visitor.open("/")
        visitor.unfold("Options")
        visitor.write(label, text)
        visitor.press("Rerank")
        field = page.get_by_label(label, exact=True)
        expect(field).to_have_attribute("aria-invalid", "true")
        place = page.locator(f"#{field.get_attribute('aria-describedby')}")
        expect(place).to_be_visible()
        expect(place).to_contain_text(said)


def test_a_server_with_keys_asks_for_one(kept: Scene, opened: Opener) -> None:
    with opened(kept) as (page, watch):
        watch.expected += [r"status of 401"]
        visitor = Somebody(page)
        visitor.open("/")
        visitor.sees("This server needs an API key.")
        visitor.write("Key", kept.keys["shop"])
        page.keyboard.press("Tab")
        expect(page.get_by_role("checkbox", name="rerankd-mini")).to_be_checked()
        visitor.press("Rerank")
        expect(hits(page)).to_have_count(5)
        assert visitor.steps <= 4
        stored = page.context.storage_state()
        assert kept.keys["shop"] not in json.dumps(stored)  # it is the tab's alone
        assert kept.keys["shop"] not in page.url


def are_in_force(page: Page, kept: Scene) -> bool:
    """Whether the prices have started: they do so some seconds after they are added."""
    by = {"authorization": f"Bearer {kept.keys['operator']}"}
    prices = page.request.get("/admin/v1/prices", headers=by).json()["data"]
    return all(datetime.fromisoformat(each["starts"]) < datetime.now(UTC) for each in prices)


def test_an_answer_tells_what_the_ledger_charged_for_it(kept: Scene, opened: Opener) -> None:
    with opened(kept) as (page, watch):
        watch.expected += [r"status of 401"]
        until(lambda: are_in_force(page, kept))
        visitor = Somebody(page)
        visitor.open("/")
        visitor.write("Key", kept.keys["shop"])
        page.keyboard.press("Tab")
        page.get_by_role("checkbox", name="search").check()
        visitor.press("Rerank")
        table = page.get_by_role("region", name="Side by side").get_by_role("table").first
        of_mini, of_search = table.get_by_role("row").nth(1), table.get_by_role("row").nth(2)
        expect(of_search).to_contain_text("0.002 USD")  # 2.00 for 1 000 searches
        tokens = int(of_mini.get_by_role("cell").nth(4).inner_text())
        charged = f"{Decimal(tokens) / 10**7:f} USD"  # 0.10 for 1 M tokens
        expect(of_mini).to_contain_text(charged)
        for model, told in (("rerankd-mini", charged), ("search", "0.002 USD")):
            card = page.get_by_role("region", name=f"Answer of {model}")
            expect(card).to_contain_text(re.compile(rf" · {re.escape(told)}"))


def test_the_keyboard_is_enough(visitor: Somebody) -> None:
    page = visitor.page
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement.textContent.trim()") == "Rerank":
            break
    page.keyboard.press("Enter")
    expect(hits(page)).to_have_count(5)
    page.get_by_label("Query", exact=True).focus()
    page.keyboard.press("Control+a")
    page.keyboard.type("Osaka")
    page.keyboard.press("Control+Enter")
    expect(hits(page).first).to_contain_text("Osaka")


def test_an_answer_is_on_the_screen_at_once(visitor: Somebody) -> None:
    page = visitor.page
    visitor.press("Clear")
    visitor.unfold("Paste or load several")
    visitor.write(
        "Texts", "\n".join(f"Document {i} of fifty, on Japan and Tokyo." for i in range(50))
    )
    visitor.press("Add these")
    took: list[float] = []
    for _ in range(_TRIES):
        page.evaluate("() => document.getElementById('results').replaceChildren()")
        page.evaluate(_WATCH)
        page.get_by_role("button", name="Rerank").click()
        page.wait_for_function("() => window.shownAt !== null")
        took.append(page.evaluate(_TOOK))
    print(f"50 documents on the screen after the server's answer: {sorted(took)} ms")
    assert min(took) <= ANSWER_MS  # the best one: the machine may be busy with others
