"""An operator's day, over HTTP and on the command line: the same steps, the same outcome.

Price, team, key, budget, top up, spend, refuse, top up, rotate, revoke, export, verify.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.kit.live import SLOW
from tests.kit.processes import PATIENCE_S, Server, serving

SERVE = ("-m", "rerankd", "serve", "--port", "0", "--model", "rerankd-lexical")


class Desk:
    """Where the operator stands: a store, and a server that uses it."""

    def __init__(self, url: str, folder: Path) -> None:
        self.env = {"RERANKD_STORE_URL": url, "RERANKD_STORE_JOURNAL": str(folder / "journal")}
        self.admin = self.cli("keys", "create", "operator", "--admin", "--json")["key"]
        self.server: Server | None = None

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of rerankd."""
        return subprocess.run(
            [sys.executable, "-m", "rerankd", *words],
            env={"PATH": "/usr/bin:/bin"} | self.env,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )

    def cli(self, *words: str) -> Any:
        """What a command prints as JSON."""
        done = self.run(*words)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def get(self, path: str, key: str) -> httpx2.Response:
        """As the owner of a key."""
        assert self.server
        headers = {"authorization": f"Bearer {key}"}
        return httpx2.get(self.server.url + path, headers=headers, timeout=PATIENCE_S)

    def rerank(self, key: str) -> int:
        """The status of one request."""
        assert self.server
        return httpx2.post(
            f"{self.server.url}/v1/rerank",
            json={"query": "q", "documents": ["a", "b"]},
            headers={"authorization": f"Bearer {key}"},
            timeout=PATIENCE_S,
        ).status_code

    def http(self, method: str, path: str, body: Any = None) -> Any:
        """What the admin API answers."""
        assert self.server
        answer = httpx2.request(
            method,
            f"{self.server.url}/admin/v1{path}",
            json=body,
            headers={"authorization": f"Bearer {self.admin}"},
            timeout=PATIENCE_S,
        )
        assert answer.status_code in (200, 201, 202), answer.text
        if "export" in path:
            return [json.loads(line) for line in answer.text.splitlines()]
        return answer.json()


class Http:
    """The steps over HTTP."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def price(self) -> Any:
        return self.desk.http("POST", "/prices", {"model": "*", "per_request": "0.25"})

    def team(self) -> Any:
        return self.desk.http("POST", "/teams", {"name": "web", "rpm": 600})

    def key(self) -> str:
        return self.desk.http("POST", "/keys", {"name": "search", "team": "web"})["key"]

    def budget(self) -> Any:
        body = {"team": "web", "unit": "money", "amount": "1", "window": "month"}
        return self.desk.http("POST", "/budgets", body)

    def top_up(self) -> Any:
        return self.desk.http("POST", "/budgets/keys/search/top-ups", {"amount": "0.5"})

    def rotate(self) -> str:
        return self.desk.http("POST", "/keys/search/rotate", {"grace": "1h"})["key"]

    def revoke(self) -> Any:
        return self.desk.http("DELETE", "/keys/search")

    def export(self) -> list[Any]:
        return self.desk.http("GET", "/usage/export?format=jsonl")


class Cli:
    """The same on the command line."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def price(self) -> Any:
        return self.desk.cli("prices", "add", "*", "--per-request", "0.25", "--json")

    def team(self) -> Any:
        return self.desk.cli("teams", "create", "web", "--rpm", "600", "--json")

    def key(self) -> str:
        return self.desk.cli("keys", "create", "search", "--team", "web", "--json")["key"]

    def budget(self) -> Any:
        return self.desk.cli("budgets", "set", "1 USD/month", "--team", "web", "--json")

    def top_up(self) -> Any:
        return self.desk.cli("budgets", "top-up", "0.5", "--key", "search", "--json")

    def rotate(self) -> str:
        return self.desk.cli("keys", "rotate", "search", "--grace", "1h", "--json")["key"]

    def revoke(self) -> Any:
        return self.desk.cli("keys", "revoke", "search", "--json")

    def export(self) -> list[Any]:
        done = self.desk.run("usage", "--rows", "--format", "jsonl")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def desk(store_url: str, tmp_path: Path) -> Generator[Desk]:
    found = Desk(store_url, tmp_path)
    with serving(SERVE, env=found.env) as server:
        found.server = server
        yield found


def wait(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.parametrize("way", [Http, Cli])
def test_an_operators_day(desk: Desk, way: type[Http | Cli]) -> None:
    steps = way(desk)

    def granted(key: str) -> int:
        answer = desk.get("/api/usage/token/", key)
        return answer.json()["data"]["total_granted"] if answer.status_code == 200 else 0

    starts = datetime.fromisoformat(steps.price()["starts"]).timestamp()
    steps.team()
    key = steps.key()
    steps.budget()
    steps.top_up()
    wait(lambda: granted(key) == 250_000)  # the server has all of it
    wait(lambda: time.time() > starts)

    assert [desk.rerank(key) for _ in range(3)] == [200, 200, 402]
    steps.top_up()
    wait(lambda: granted(key) == 500_000)
    assert [desk.rerank(key) for _ in range(3)] == [200, 200, 402]

    second = steps.rotate()
    assert second != key
    wait(lambda: desk.get("/v1/models", second).status_code == 200)
    assert desk.get("/v1/models", key).status_code == 200
    steps.revoke()
    for each in (key, second):
        wait(lambda each=each: desk.get("/v1/models", each).status_code == 401)
    assert desk.get("/v1/models", key).headers["x-rerankd-reason"] == "revoked"

    wait(lambda: len(steps.export()) == 6)
    assert sorted(row["status"] for row in steps.export()) == [200] * 4 + [402] * 2
    verified = desk.run("usage", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_the_server_shows_its_settings_and_reads_them_again(store_url: str, tmp_path: Path) -> None:
    file = tmp_path / "rerankd.toml"
    file.write_text('[[keys]]\nname = "old"\nkey = "sk-of-the-file-0123456789"\n', "utf-8")
    desk = Desk(store_url, tmp_path)
    with serving((*SERVE, "--config", str(file)), env=desk.env) as server:
        desk.server = server
        shown = desk.http("GET", "/config")["settings"]
        assert (shown["admin.hosts"], shown["keys.old"]["name"]) == ([], "old")
        assert "sk-of-the-file" not in json.dumps(shown)
        assert desk.http("GET", "/upstreams")["data"] == desk.http("GET", "/routes")["data"] == []

        file.write_text(
            '[server]\nport = 1\n[[keys]]\nname = "new"\nkey = "sk-of-the-file-9876543210"\n',
            "utf-8",
        )
        report = desk.http("POST", "/reload")
        assert (report["taken"], report["refused"]) == (["keys", "models"], None)
        found = desk.http("GET", "/keys?source=file")["data"]
        assert [key["name"] for key in found] == ["new"]

        file.write_text("colour = 1\n", "utf-8")
        report = desk.http("POST", "/reload")
        assert report["taken"] == []
        assert "colour" in report["refused"]


def test_models_come_and_go_and_a_stop_waits_for_none(store_url: str, tmp_path: Path) -> None:
    folder, file = tmp_path / "large", tmp_path / "rerankd.toml"
    folder.mkdir()
    file.write_text(f'models = ["rerankd-lexical", "{folder}"]\n', "utf-8")
    desk = Desk(store_url, tmp_path)
    with serving([SLOW, str(file)], env=desk.env) as server:
        desk.server = server

        def states() -> list[str]:
            return [each["state"] for each in desk.http("GET", "/models")["data"]]

        wait(lambda: states() == ["ready", "ready"])
        assert desk.http("POST", "/models/unload", {"model": "large"})["state"] == "unloaded"
        assert desk.http("POST", "/reload")["taken"] == ["keys", "models"]
        assert states() == ["ready", "ready"]
        desk.http("POST", "/models/unload", {"model": "large"})
        (folder / "waits").touch()
        begun = desk.http("POST", "/models/load", {"model": "large", "wait_s": 0})
        assert begun["state"] == "loading"
        assert httpx2.get(f"{server.url}/ready", timeout=PATIENCE_S).status_code == 200
        assert server.stop() == 0  # the thread that loads is left behind
