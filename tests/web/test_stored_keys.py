"""Real servers with a store: keys made, revoked and rotated by other processes; nothing leaks."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from rerankd.access.fields import KeyFields, TeamFields
from rerankd.access.keys import digest
from rerankd.store.database import Database
from rerankd.store.keys import KeyRepo, MadeElsewhere
from rerankd.store.teams import TeamRepo
from tests.kit.live import Log, rank, until
from tests.kit.processes import PATIENCE_S, Server, serving, starting


@contextlib.contextmanager
def server(
    url: str, folder: Path, name: str = "a", file: str = "", host: str = "127.0.0.1"
) -> Generator[tuple[Server, Log, Path]]:
    """A server on a store, with a journal of its own."""
    config, log = folder / f"{name}.toml", folder / f"{name}.log"
    config.write_text(file)
    command = ["-m", "rerankd", "serve", "--port", "0", "--host", host, "--config", str(config)]
    env = {"RERANKD_STORE_URL": url, "RERANKD_STORE_JOURNAL": str(folder / name)}
    models = ["--model", "rerankd-lexical"]
    with serving([*command, *models], env=env, log=log) as running:
        yield running, Log(log), config


def keys(url: str, *words: str) -> dict[str, str]:
    """What `rerankd keys …` says, as another process."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RERANKD_")}
    found = subprocess.run(
        [sys.executable, "-m", "rerankd", "keys", *words, "--json", "--store", url],
        capture_output=True,
        check=True,
        timeout=PATIENCE_S,
        env=environment,
    )
    return json.loads(found.stdout)


def test_a_key_is_good_in_every_server_until_another_process_revokes_it(
    database: Database, store_url: str, tmp_path: Path
) -> None:
    with (
        server(store_url, tmp_path, "a") as (first, log, _),
        server(store_url, tmp_path, "b") as (second, _, _),
    ):
        urls = [first.url, second.url]
        assert [rank(url).status_code for url in urls] == [200, 200]  # open: no key yet
        made = keys(store_url, "create", "search", "--rpm", "600")
        until(lambda: all(rank(url).status_code == 401 for url in urls))
        answers = [rank(url, key=made["key"]) for url in urls]
        assert [answer.status_code for answer in answers] == [200, 200]
        assert answers[0].headers["x-ratelimit-limit-requests"] == "600"
        keys(store_url, "edit", "search", "--rpm", "700")
        until(
            lambda: rank(first.url, key=made["key"]).headers["x-ratelimit-limit-requests"] == "700"
        )
        KeyRepo(database).revoke("search")
        revoked = time.monotonic()
        until(lambda: all(rank(url, key=made["key"]).status_code == 401 for url in urls))
        assert time.monotonic() - revoked < 2
        refused = rank(first.url, key=made["key"])
        assert refused.headers["x-rerankd-reason"] == "revoked"
        assert [rank(url).status_code for url in urls] == [401, 401]  # not open again
        for running in (first, second):
            assert running.stop() == 0
        assert made["key"] not in log.text
        assert "Traceback" not in log.text


def test_a_key_is_nowhere_on_disk_nor_in_the_log(
    database: Database, store_url: str, tmp_path: Path
) -> None:
    TeamRepo(database).create(TeamFields(name="web"))
    _, text = KeyRepo(database).create(KeyFields(name="search", team="web", role="admin"))
    with server(store_url, tmp_path) as (running, log, _):
        for _ in range(3):
            assert rank(running.url, key=text).status_code == 200
        assert rank(running.url, key=text[:-1]).headers["x-rerankd-reason"] == "typo"
        _, other = KeyRepo(database).rotate("search", grace_s=60)
        until(lambda: rank(running.url, key=other).status_code == 200)
        assert rank(running.url, key=text).status_code == 200
        assert rank(running.url, key=text, model="none").status_code == 400
        assert running.stop() == 0
        assert log.text
    database.close()
    secrets = [part for key in (text, other) for part in (key.encode(), key[14:54].encode())]
    looked_at = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(looked_at) >= 2
    for path in looked_at:
        raw = path.read_bytes()
        assert not [secret for secret in secrets if secret in raw], path


def refused(url: str, folder: Path, *words: str, file: str = "") -> str:
    """Why a server does not start."""
    config, log = folder / "refused.toml", folder / "refused.log"
    config.write_text(file)
    command = ["-m", "rerankd", "serve", "--port", "0", "--config", str(config), *words]
    env = {"RERANKD_STORE_URL": url, "RERANKD_STORE_JOURNAL": str(folder / "j")}
    with starting(command, env=env, log=log) as process:
        assert process.wait(PATIENCE_S) == 1
    return log.read_text()


def test_a_server_that_others_can_reach_needs_a_key_in_either_place(
    database: Database, store_url: str, tmp_path: Path
) -> None:
    said = refused(store_url, tmp_path, "--host", "0.0.0.0")
    assert "no API key is configured" in said
    assert "rerankd keys create" in said
    KeyRepo(database).create(KeyFields(name="a"))
    with server(store_url, tmp_path, host="0.0.0.0") as (running, _, _):
        assert running.stop() == 0


def test_a_name_or_key_in_both_places_is_refused_at_the_start_and_by_a_reload(
    database: Database, store_url: str, tmp_path: Path
) -> None:
    entry = '[[keys]]\nname = "{0}"\nkey = "{1}"\n'
    repo = KeyRepo(database)
    repo.create(KeyFields(name="search"))
    repo.take_over([MadeElsewhere(KeyFields(name="b"), (digest("sk-0123456789abcdef"),))], ())
    for name, key in (("search", "sk-other-0123456789"), ("filed", "sk-0123456789abcdef")):
        said = refused(store_url, tmp_path, file=entry.format(name, key))
        assert f"keys {name}: the store has a key of that name, or the very key" in said
    good = entry.format("filed", "sk-other-0123456789")
    with server(store_url, tmp_path, file=good) as (running, log, config):
        assert rank(running.url, key="sk-other-0123456789").status_code == 200
        config.write_text(entry.format("search", "sk-other-0123456789"))
        running.process.send_signal(signal.SIGHUP)
        said = log.wait("reload refused")["reason"]
        assert "keys search: the store has a key of that name" in said
        config.write_text("[limits]\ndocuments = 9\n")  # no key of its own: the store has some
        running.process.send_signal(signal.SIGHUP)
        log.wait("reloaded")
        assert rank(running.url, key="sk-other-0123456789").status_code == 401
        assert running.stop() == 0


@pytest.mark.parametrize("role", ["read", "call"])
def test_a_key_to_read_with_does_not_rank(
    database: Database, store_url: str, tmp_path: Path, role: str
) -> None:
    _, text = KeyRepo(database).create(KeyFields(name="a", role=role))  # pyright: ignore[reportArgumentType]
    with server(store_url, tmp_path) as (running, _, _):
        answer = rank(running.url, key=text)
        assert answer.status_code == (403 if role == "read" else 200)
        assert running.stop() == 0
