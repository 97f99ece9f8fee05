"""The models page: what can be loaded and unloaded, what is refused, and what goes on meanwhile."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.kit.administered import Administered, administered
from tests.kit.shelf import Shelf, until
from tests.kit.support import local
from tests.web.console.browsing import Browser, text_of

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
async def server(store_url: str, tmp_path: Path, shelf: Shelf) -> AsyncGenerator[Administered]:
    values = {"route": {"smart": {"to": [{"model": "fake-model"}]}}}
    async with administered(store_url, tmp_path, values, load=shelf.load) as found:
        yield found
        for gate in shelf.held.values():
            gate.set()


async def test_a_model_is_unloaded_and_loaded(server: Administered) -> None:
    browser = await Browser.of(server)
    said = text_of(await browser.get("/ui/models"))
    assert 'Used by requests that name no model, route "smart"' in said
    assert "Memory of this process" in said
    await browser.send("/ui/models/unload", {"model": "fake-model"}, 409)
    said = text_of(browser.page)
    assert "fake-model is used by requests that name no model" in said
    assert "Also though it is used by" in said
    form = {"model": "fake-model", "force": "yes"}
    said = text_of(await browser.done("/ui/models/unload", form))
    assert "fake-model is unloaded. Models" in said
    assert "fake-model unloaded default" in said
    assert "after" in said.partition("before it was unloaded, ")[2][:20]
    assert "Model fake-model is unloaded: requests for it" in text_of(await browser.get("/ui"))
    said = text_of(await browser.done("/ui/models/load", {"model": "fake-model"}))
    assert "fake-model is loaded. Models" in said
    assert "fake-model ready default" in said


async def test_what_goes_on_is_shown_and_looked_at_again(
    server: Administered, shelf: Shelf
) -> None:
    browser = await Browser.of(server)
    gate = shelf.hold("rerankd-lexical")
    assert "data-changing" not in await browser.get("/ui/models")
    assert '<option value="rerankd-lexical">' in browser.page
    said = text_of(await browser.done("/ui/models/load", {"model": "rerankd-lexical"}))
    assert "rerankd-lexical is being loaded." in said
    assert "data-changing" in browser.page
    assert "rerankd-lexical loading" in said
    await browser.send("/ui/models/load", {"model": "rerankd-mini"}, 409)
    assert "Just now rerankd-lexical is loaded" in text_of(browser.page)
    assert "may not fit" not in browser.page  # it is not for want of room
    gate.set()
    await until(lambda: not local(server.state).changes.turn.locked())
    said = text_of(await browser.get("/ui/models"))
    assert "rerankd-lexical ready" in said
    assert "data-changing" not in browser.page


async def test_one_that_fails_and_one_without_room(
    server: Administered, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = await Browser.of(server)
    shelf.broken.add("rerankd-lexical")
    await browser.send("/ui/models/load", {"model": "rerankd-lexical"}, 422)
    said = text_of(browser.page)
    assert "rerankd-lexical failed" in said
    assert "It could not be loaded: rerankd-lexical is damaged" in said
    assert "Model rerankd-lexical could not be loaded" in text_of(await browser.get("/ui"))
    monkeypatch.setattr(local(server.state).changes, "_available_bytes", lambda: 1_000_000)
    await browser.send("/ui/models/load", {"model": "rerankd-mini"}, 409)
    said = text_of(browser.page)
    assert "rerankd-mini takes about" in said
    assert "Also though it may not fit" in said
    form = {"model": "rerankd-mini", "force": "yes"}
    assert "rerankd-mini ready" in text_of(await browser.done("/ui/models/load", form))


async def test_only_an_administrator_sees_the_page_and_nothing_is_believed(
    server: Administered,
) -> None:
    reader = await Browser.of(server, "read")
    await reader.get("/ui/models", 403)
    await reader.send("/ui/models/unload", {"model": "fake-model", "force": "yes"}, 403)
    browser = await Browser.of(server)
    await browser.get("/ui/models")
    await browser.send("/ui/models/load", {"model": EVIL}, 404)
    assert "alert(1)" in text_of(browser.page)
    assert EVIL not in browser.page
    await browser.send("/ui/models/load", {}, 400)
    (model,) = (await server.good("GET", "/models"))["data"]
    assert model["state"] == "ready"
