"""`rerankd bulk` by a server, a route, workers: the bytes of a model in this process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.bulk.kit import lines, pair_rows, parts, request_rows, rows_of
from tests.kit.processes import Server, serving

ENV = {name: value for name, value in os.environ.items() if not name.startswith("RERANKD_")}
MODEL = ("--model", "rerankd-lexical")
KEY = "bulk-test-key-0123456789"


def done(*arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rerankd", "bulk", *map(str, arguments)],
        env=ENV | env,
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )


@pytest.fixture(scope="module")
def server() -> Generator[Server]:
    """With one key."""
    with serving(
        ["-m", "rerankd", "serve", *MODEL, "--port", "0"], env=ENV | {"RERANKD_API_KEYS": KEY}
    ) as found:
        yield found


@pytest.fixture(scope="module")
def requests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [*request_rows(40), {"id": "bad", "query": "q", "documents": [{"image": "x"}]}]
    return lines(tmp_path_factory.mktemp("in") / "requests.jsonl", rows)


@pytest.fixture(scope="module")
def wanted(requests: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What a model of the process itself makes of it."""
    out = tmp_path_factory.mktemp("own") / "out"
    said = done(requests, out, *MODEL)
    assert said.returncode == 3, said.stderr
    return parts(out)


def test_a_server_gives_the_same_bytes(
    server: Server, requests: Path, wanted: bytes, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    said = done(
        requests, out, "--server", server.url, "--key-env", "BULK_KEY", "--top-n", "9", BULK_KEY=KEY
    )
    assert said.returncode == 3, said.stderr
    assert parts(out) == wanted
    [error] = (out / "errors.jsonl").read_text().splitlines()
    assert json.loads(error)["id"] == "bad"


def test_a_key_that_is_refused_is_told(server: Server, requests: Path, tmp_path: Path) -> None:
    said = done(requests, tmp_path / "out", "--server", server.url)
    assert said.returncode == 1
    assert "The job cannot go on" in said.stderr
    said = done(requests, tmp_path / "out", "--server", server.url, "--key-env", "BULK_KEY")
    assert "BULK_KEY: the variable is not set" in said.stderr


def test_a_route_says_who_answered_and_what_it_cost(
    server: Server, requests: Path, wanted: bytes, tmp_path: Path
) -> None:
    config = tmp_path / "rerankd.toml"
    config.write_text(
        f"""
models = ["rerankd-lexical"]
[upstream.away]
dialect = "siliconflow"
url = "{server.url}"
key_env = "BULK_KEY"
[route.routed]
to = [{{ upstream = "away", name = "rerankd-lexical" }}]
[[cost]]
upstream = "away"
name = "rerankd-lexical"
per_1m_input_tokens = "2"
"""
    )
    out = tmp_path / "out"
    said = done(requests, out, "--route", "routed", "--config", config, BULK_KEY=KEY)
    assert said.returncode == 3, said.stderr
    found = rows_of(out)
    assert {row["route"] for row in found} == {"away/rerankd-lexical"}
    kept = [{name: row[name] for name in ("id", "results", "tokens")} for row in found]
    assert kept == [json.loads(line) for line in wanted.splitlines()]
    counts = json.loads((out / "manifest.json").read_text())["counts"]
    assert counts["cost_nano"] == counts["tokens"] * 2000
    said = done(requests, out, "--route", "other", "--config", config, BULK_KEY=KEY)
    assert "no such route; there are routed" in said.stderr


def test_workers_give_the_same_bytes(requests: Path, wanted: bytes, tmp_path: Path) -> None:
    said = done(requests, tmp_path / "out", "--workers", "2", *MODEL)
    assert said.returncode == 3, said.stderr
    assert parts(tmp_path / "out") == wanted


def test_a_dry_run_writes_nothing_and_says_what_it_would_take(tmp_path: Path) -> None:
    path = lines(tmp_path / "in.jsonl", [*pair_rows(60), {"id": 1}])
    said = done(path, tmp_path / "out", "--dry-run", "--price", "0.02", *MODEL)
    assert said.returncode == 0, said.stderr
    shown = dict(line.split(None, 1) for line in said.stdout.splitlines())
    assert shown["rows"] == "61, 1 of them cannot be used"
    assert shown["pairs"] == "60"
    assert shown["tokens"].startswith("about ")
    assert shown["time"].startswith("about ")
    assert shown["price"].startswith("about 0.0")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--server", "http://127.0.0.1:1", "--workers", "2"), "do not go together"),
        (("--server", "ftp://127.0.0.1"), "is no http:// or https:// URL"),
        (("--route", "a", "--model", "b"), "do not go together"),
        (("--key-env", "A"), "is the key for --server"),
        (("--max-cost", "1"), "--max-cost needs a price"),
        (("--max-cost", "x", "--price", "1"), "--max-cost: 'x' is not an amount"),
        (("--workers", "0"), "--workers 0"),
        (("--in-flight", "0"), "--in-flight 0"),
    ],
)
def test_flags_that_do_not_fit_are_refused(
    tmp_path: Path, flags: tuple[str, ...], sentence: str
) -> None:
    path = lines(tmp_path / "in.jsonl", pair_rows(2))
    said = done(path, tmp_path / "out", *flags)
    assert said.returncode == 1
    assert sentence in said.stderr
    assert len(said.stderr.splitlines()) == 1
