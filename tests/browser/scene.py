"""A program: `rerankd serve` as a browser finds it, until its input ends.

    python tests/browser/scene.py open|kept|hostile|issued

`open`: no keys and no store, two models. `kept`: a store with teams, keys, prices, budgets, the use
of three days, two upstreams and two routes. `hostile`: as that, where all that can be named has a
piece of HTML in its name. `issued`: an empty store, and an issuer that signs two people in. Prints
a line of JSON: where it is, and the keys' texts.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx2

sys.path.insert(0, str(Path(__file__).parents[2]))  # the root: this is run by its path

from rerankd.access.fields import KeyFields, TeamFields
from rerankd.settings.schema_accounts import StoreSettings
from rerankd.store.accounts import open_store
from rerankd.store.key_rows import KeyRow
from rerankd.store.keys import KeyRepo
from rerankd.store.rows import UsageRow
from rerankd.store.teams import TeamRepo
from tests.kit.issuer import SECRET, issuing
from tests.kit.processes import serving
from tests.kit.providers import CALLABLE, KEY, ROWS, Fake, listen

# Elements that no page may have, scripts that may not run, an expression that none may work out.
MARK: Final = '"><b data-hostile>x</b><img src=x onerror=alert(1)>{{7*7}}'
_DAY_US: Final = 86_400_000_000
_MODELS: Final = ("--model", "rerankd-mini", "--model", "rerankd-lexical")
_TEXTS: Final = (
    "Opening hours are 9 to 5.",
    "To reset the password, open Settings, then Security.",
    "Invoices are sent on the first day of each month.",
)
_CONFIG: Final = """
[store]
url = "sqlite:///{folder}/store.db"
[limits]
wrong_keys = 1_000_000
[upstream.partner]
dialect = "jina"
url = "http://127.0.0.1:{good}/v1"
key_env = "SCENE_KEY"
timeout_s = 20
[upstream.spare]
dialect = "cohere"
url = "http://127.0.0.1:{bad}"
key_env = "SCENE_KEY"
[route.{search}]
to = [{{ upstream = "partner", name = {there} }}, {{ model = "rerankd-mini" }}]
spaces = "any"
[route.{fallback}]
to = [{{ upstream = "spare", name = "rerank-v3.5" }}]
when_all_fail = "rerankd-lexical"
[aliases]
{alias} = "rerankd-lexical"
"""

_ISSUED: Final = """
[server]
port = {port}
[store]
url = "sqlite:///{folder}/store.db"
[oidc]
issuer = "{issuer}"
client_id = "rerankd"
secret_env = "SCENE_SECRET"
url = "http://127.0.0.1:{port}"
name = "Example Login"
admin = ["groups=ops"]
"""

T = TypeVar("T")


def fill(folder: Path, name: Callable[[str], str]) -> dict[str, str]:
    """Teams, keys and what they used in three days; gives the texts of the keys."""
    store = open_store(StoreSettings(url=f"sqlite:///{folder}/store.db"))
    keys, teams = KeyRepo(store.database), TeamRepo(store.database)
    for team in ("web", "support"):
        teams.create(TeamFields(name=name(team), rpm=6000, note=name("asks on weekdays")))
    texts: dict[str, str] = {}
    made = (
        KeyFields(name="operator", role="admin"),
        KeyFields(name=name("auditor"), role="read"),
        KeyFields(name=name("shop"), team=name("web"), rpm=600, tags=[name("production")]),
        KeyFields(name=name("helpdesk"), team=name("support"), note=name("of the ticket form")),
        KeyFields(name=name("old"), models=["rerankd-*"]),
    )
    for fields in made:
        row, texts[str(fields.name).removesuffix(MARK)] = keys.create(fields)
        if row.team_id is not None:
            for back in range(3):  # at the first second of each day: all days are alike
                day_us = time.time_ns() // 1000 // _DAY_US * _DAY_US - back * _DAY_US
                for i in range(5):
                    store.ledger.append(_used(row, day_us, i))
    keys.revoke(name("old"))
    store.ledger.start()
    store.ledger.close()
    store.database.close()
    return texts


def _used(key: KeyRow, day_us: int, number: int) -> UsageRow:
    """One answer that took 80 ms and costs 0.25, of which 0.1 is an upstream's."""
    return UsageRow(
        request_id=f"seed-{key.id}-{day_us}-{number}",
        at_us=day_us + number,
        done_us=day_us + number + 80_000,
        status=200,
        key_id=key.id,
        key_name=key.name,
        team_id=key.team_id,
        team=key.team or "",
        dialect="superset",
        path="/v1/rerank",
        model_asked="search",
        model_answered="partner-large" if number % 2 else "rerankd-mini",
        route="search",
        upstream="partner" if number % 2 else "",
        documents=20,
        pairs=20,
        input_tokens=4_000,
        tokens_from="exact",
        charge_nano=250_000_000,
        cost_nano=100_000_000 if number % 2 else 0,
        prepare_us=2_000,
        queue_us=1_000,
        engine_us=75_000,
        total_us=80_000,
        client_net="127.0.0.0/24",
    )


def call(url: str, key: str, body: Any, **headers: str) -> int:
    """POST JSON; the status."""
    sent = {"authorization": f"Bearer {key}", **headers}
    return httpx2.post(url, json=body, headers=sent, timeout=60).status_code


def visit(url: str, texts: dict[str, str], name: Callable[[str], str]) -> None:
    """Prices, costs and budgets, then requests: answered, refused, sent on, given up."""
    admin = texts["operator"]
    for path, body in (
        ("/prices", {"model": name("search"), "per_1k_searches": "2.00"}),
        ("/prices", {"model": "*", "per_1m_input_tokens": "0.10"}),
        ("/costs", {"upstream": "partner", "model": name("partner-large"), "per_request": "0.001"}),
        ("/budgets", {"team": name("web"), "unit": "money", "amount": "20", "window": "month"}),
        ("/budgets", {"key": name("shop"), "unit": "requests", "amount": "1000", "window": "day"}),
        ("/budgets", {"unit": "money", "amount": "500", "window": "month"}),
        ("/budgets/teams/2/top-ups", {"amount": "50", "note": name("invoice 7")}),
    ):
        status = call(f"{url}/admin/v1{path}", admin, body)
        assert status == 201, (path, status)
    asked = {"query": "How do I reset my password?", "documents": list(_TEXTS)}
    shop, helpdesk = texts["shop"], texts["helpdesk"]
    for model, key, status in (
        ("rerankd-mini", shop, 200),
        ("rerankd-lexical", helpdesk, 200),
        (name("search"), shop, 200),
        (name("search"), helpdesk, 200),
        (name("fallback"), helpdesk, 200),
        (name("no-such-model"), shop, 400),
    ):
        sent = {**asked, "model": model, "user": name("visitor")}
        found = call(f"{url}/v1/rerank", key, sent, **{"x-request-id": "scene-" + model[:9]})
        assert found == status, (model, found)
    assert call(f"{url}/v1/rerank", shop, {**asked, "documents": []}) == 400
    assert call(f"{url}/v1/rerank", "sk-rerankd-nobody", asked) == 401


def in_a_thread(made: AbstractAsyncContextManager[T]) -> contextlib.AbstractContextManager[T]:
    """What is made on an event loop, which runs in a thread until the end."""

    @contextlib.contextmanager
    def running() -> Generator[T]:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        yield asyncio.run_coroutine_threadsafe(made.__aenter__(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)

    return running()


@contextlib.contextmanager
def provider(dialect: str, row: str, *, delay_s: float) -> Generator[int]:
    """A fake one in a thread; gives its port."""
    fake = Fake(
        next(each for each in CALLABLE if each.name == dialect),
        next(each for each in ROWS if each.name == row),
        delay_s=delay_s,
    )
    with in_a_thread(listen(fake)) as port:
        yield port


def issued(folder: Path, stack: contextlib.ExitStack) -> None:
    """A console that an issuer on another site signs in to."""
    issuer = stack.enter_context(in_a_thread(issuing("localhost")))
    issuer.people = {
        "anna": {"groups": ["ops"], "preferred_username": "anna"},
        "eve": {"preferred_username": MARK},
    }
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config, log = folder / "rerankd.toml", folder / "log"
    config.write_text(_ISSUED.format(folder=folder, issuer=issuer.url, port=port), "utf-8")
    command = ["-m", "rerankd", "serve", "--config", str(config), "--model", "rerankd-lexical"]
    server = stack.enter_context(serving(command, env={"SCENE_SECRET": SECRET}, log=log))
    show(server.url, keys={}, log=str(log), issuer=issuer.url)


def show(url: str, **more: Any) -> None:
    """Say where it is, then wait for the end of the input."""
    sys.stdout.write(json.dumps({"url": url, **more}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()


def main(kind: str) -> None:
    """Serve one of the kinds."""
    command = ["-m", "rerankd", "serve", "--port", "0"]
    with tempfile.TemporaryDirectory() as made, contextlib.ExitStack() as stack:
        folder, config, log = Path(made), Path(made) / "rerankd.toml", Path(made) / "log"
        if kind == "issued":
            issued(folder, stack)
            return
        if kind == "open":
            server = stack.enter_context(serving([*command, *_MODELS], log=log))
            show(server.url, keys={}, log=str(log))
            return

        def name(plain: str) -> str:
            return plain + MARK if kind == "hostile" else plain

        texts = fill(folder, name)
        good = stack.enter_context(provider("jina", "answers", delay_s=0.02))
        bad = stack.enter_context(provider("cohere-v2", "its failure", delay_s=0.0))
        names = {plain: json.dumps(name(plain)) for plain in ("search", "fallback")}
        names |= {"there": json.dumps(name("partner-large")), "alias": json.dumps(name("words"))}
        config.write_text(_CONFIG.format(folder=folder, good=good, bad=bad, **names), "utf-8")
        command += ["--config", str(config), *_MODELS]
        server = stack.enter_context(serving(command, env={"SCENE_KEY": KEY}, log=log))
        visit(server.url, texts, name)
        show(server.url, keys=texts, config=str(config), log=str(log))


if __name__ == "__main__":
    main(sys.argv[1])
