"""Routes in real servers: rerankd in front of rerankd, through four providers' dialects."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.kit.live import Log, until
from tests.kit.processes import PATIENCE_S, Server, serving, starting

KEY, CALLER = "sk-upstream-0123456789", "sk-caller-0123456789"
BODY = {
    "query": "capital of france",
    "documents": ["berlin", "paris is the capital of france", "x"],
}
DIALECTS = {"siliconflow": "/v1", "jina": "", "cohere": "/", "dashscope": "/api/v1"}
RERANKD = ["-m", "rerankd", "serve", "--port", "0", "--model", "rerankd-lexical"]


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    """A server that asks for a key."""
    log = tmp_path_factory.mktemp("provider") / "log"
    with serving(RERANKD, env={"RERANKD_API_KEYS": KEY}, log=log) as server:
        yield server


def config(provider: str, *routes: str) -> str:
    """An upstream for each dialect, a route to each, and other routes."""
    parts = [f'[[keys]]\nname = "caller"\nkey = "{CALLER}"\n']
    for dialect, base in DIALECTS.items():
        parts.append(
            f'[upstream.{dialect}]\ndialect = "{dialect}"\nurl = "{provider}{base}"\n'
            f'key_env = "PROVIDER_KEY"\n'
            f'[route."to-{dialect}"]\n'
            f'to = [{{ upstream = "{dialect}", name = "rerankd-lexical" }}]\n'
        )
    return "\n".join((*parts, *routes))


class Front:
    """A gateway, its file and its log."""

    def __init__(self, server: Server, file: Path, log: Log) -> None:
        self.server, self.file, self.log = server, file, log

    def ask(self, model: str, path: str = "/v1/rerank", **headers: str) -> httpx2.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx2.post(
            f"{self.server.url}{path}",
            json={**BODY, "model": model},
            headers={"authorization": f"Bearer {CALLER}", **named},
            timeout=PATIENCE_S,
        )

    def reload(self, text: str) -> None:
        self.file.write_text(text)
        self.server.process.send_signal(signal.SIGHUP)

    def get(self, path: str) -> Any:
        headers = {"authorization": f"Bearer {CALLER}"}
        return httpx2.get(f"{self.server.url}{path}", headers=headers, timeout=PATIENCE_S)


@contextlib.contextmanager
def front(text: str, folder: Path) -> Generator[Front]:
    file, log = folder / "gateway.toml", folder / "gateway.log"
    file.write_text(text)
    env = {"PROVIDER_KEY": KEY, "WRONG_KEY": "sk-wrong-0123456789"}
    with serving([*RERANKD, "--config", str(file)], env=env, log=log) as server:
        yield Front(server, file, Log(log))


DEAD = """
[upstream.dead]
dialect = "jina"
url = "http://127.0.0.1:9"
key_env = "WRONG_KEY"
[route.falls]
to = [
  { upstream = "dead", name = "m", space = "s" },
  { upstream = "jina", name = "rerankd-lexical", space = "s" },
]
[route.local]
to = [{ model = "rerankd-lexical" }]
"""


def test_a_caller_is_answered_by_a_provider_as_by_himself(provider: Server, tmp_path: Path) -> None:
    with front(config(provider.url, DEAD), tmp_path) as gateway:
        here = gateway.ask("rerankd-lexical")
        assert "x-rerankd-route" not in here.headers
        scores = here.json()["results"]
        for dialect in DIALECTS:
            there = gateway.ask(f"to-{dialect}")
            assert there.status_code == 200, there.text
            assert there.json()["results"] == scores
            assert there.json()["usage"] == here.json()["usage"]
            assert there.headers["x-rerankd-route"] == f"{dialect}/rerankd-lexical"
            assert there.headers["x-rerankd-space"].endswith("/rerankd-lexical")
        falls = gateway.ask("falls")
        assert (falls.json()["results"], falls.json()["meta"]["route"]["attempts"]) == (scores, 2)
        assert gateway.ask("falls", x_rerankd_space="other").status_code == 503
        local = gateway.ask("local").json()["meta"]["route"]
        assert (local["upstream"], local["space"]) == (None, "rerankd-lexical@1/lexical/fp32")
        names = [model["id"] for model in gateway.get("/v1/models").json()["data"]]
        assert names == ["rerankd-lexical", *(f"to-{d}" for d in DIALECTS), "falls", "local"]
        shown = gateway.get("/metrics").text
        assert 'rerankd_upstream_requests_total{outcome="unreachable",upstream="dead"} 1.0' in shown
        assert 'rerankd_upstream_state{state="closed",upstream="jina"} 1.0' in shown
        assert gateway.server.stop() == 0
        event = next(e for e in gateway.log.events("rerank") if e["asked"] == "falls")
        assert event["failed_attempts"] == ["dead/m: unreachable"]
        assert (event["upstream"], event["space"]) == ("jina", "s")
        for secret in (KEY, CALLER, "127.0.0.1:9", provider.url):
            assert secret not in gateway.log.text


def test_a_reload_takes_routes_over_and_refuses_what_is_wrong(
    provider: Server, tmp_path: Path
) -> None:
    wrong = config(provider.url).replace("PROVIDER_KEY", "WRONG_KEY", 1)  # siliconflow's
    with front(wrong, tmp_path) as gateway:
        refused = gateway.ask("to-siliconflow")
        assert refused.status_code == 502  # never the caller's 401
        assert gateway.ask("to-siliconflow").status_code == 502
        told = gateway.log.wait("upstream refuses a key")
        assert (told["upstream"], told["key"], told["status"]) == ("siliconflow", 1, 401)
        gateway.reload(wrong + '[route.bad]\nto = [{ upstream = "gone" }]\n')
        reason = gateway.log.wait("reload refused")["reason"]
        assert "route.\"bad\".to[0].upstream: no upstream is named 'gone'" in reason
        assert gateway.ask("bad").status_code == 400
        gateway.reload(config(provider.url, DEAD))
        gateway.log.wait("reloaded")
        assert gateway.ask("to-siliconflow").status_code == 200
        assert gateway.ask("falls").status_code == 200
        gateway.reload(f'[[keys]]\nname = "caller"\nkey = "{CALLER}"\n')
        gateway.log.wait("reloaded", 2)
        assert gateway.ask("falls").status_code == 400
        until(lambda: "upstream_state{" not in gateway.get("/metrics").text)
        assert gateway.server.stop() == 0
        assert "Traceback" not in gateway.log.text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[route.x]\nto = [{ upstream = "gone" }]', 'route."x".to[0].upstream'),
        ('[upstream.u]\ndialect = "x"\nurl = "http://127.0.0.1:9"', 'upstream."u".dialect'),
        (
            '[upstream.u]\ndialect = "jina"\nurl = "https://h"\nkey_env = "UNSET"',
            'upstream."u".key_env',
        ),
    ],
)
def test_what_is_wrong_is_refused_at_the_start(text: str, why: str, tmp_path: Path) -> None:
    file, log = tmp_path / "x.toml", tmp_path / "log"
    file.write_text(text)
    with starting([*RERANKD, "--config", str(file)], log=log) as process:
        assert process.wait(PATIENCE_S) == 1
    assert f"rerankd: {why}: " in log.read_text()
