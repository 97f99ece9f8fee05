"""`rerankd bulk` as a process: killed, interrupted, done; and what the shell is told."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bulk.kit import errors_of, lines, parts, rows_of

COMMAND = [sys.executable, "-m", "rerankd", "bulk"]
MODEL = ["--model", "rerankd-lexical"]
ENV = {name: value for name, value in os.environ.items() if not name.startswith("RERANKD_")}


def done(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments), *MODEL],
        env=ENV,
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough of them for a few seconds."""
    draw = random.Random(1)
    words = [f"{a}{b}" for a in ("sea", "land", "rain", "wind") for b in ("", "s", "ing", "ed")]
    return lines(
        tmp_path_factory.mktemp("in") / "pairs.jsonl",
        (
            {
                "id": i,
                "query": " ".join(draw.choices(words, k=3)),
                "document": " ".join(draw.choices(words, k=draw.choice([5, 20, 60]))),
            }
            for i in range(30_000)
        ),
    )


@pytest.fixture(scope="module")
def whole(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an uninterrupted job writes."""
    out = tmp_path_factory.mktemp("whole") / "out"
    said = done(pairs, out)
    assert said.returncode == 0, said.stderr
    assert "30000 rows, 30000 pairs" in said.stderr
    return out


def started(pairs: Path, out: Path, rows: int) -> subprocess.Popen[str]:
    """A job that has written so many rows and is not done."""
    process = subprocess.Popen(
        [*COMMAND, str(pairs), str(out), *MODEL], env=ENV, stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 240
    while time.monotonic() < until and process.poll() is None:
        path = out / "progress.json"
        if path.exists() and json.loads(path.read_bytes())["counts"]["rows"] >= rows:
            return process
        time.sleep(0.002)
    raise AssertionError(process.communicate()[1])


def test_kill_9_three_times_changes_no_byte(pairs: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for rows in (1, 8_000, 16_000):
        with started(pairs, out, rows) as process:
            process.kill()
        assert process.returncode == -signal.SIGKILL
        assert not (out / "part-00000.jsonl").exists()
    said = done(pairs, out)
    assert said.returncode == 0, said.stderr
    assert parts(out) == parts(whole)
    assert [row["id"] for row in rows_of(out)] == list(range(30_000))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_the_command_to_go_on_is_told(
    pairs: Path, whole: Path, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "out"
    with started(pairs, out, 1) as process:
        process.send_signal(number)
        _, said = process.communicate(timeout=240)
    assert process.returncode == 128 + number
    assert f"Go on with: rerankd bulk {pairs} {out} --model rerankd-lexical" in said
    again = done(pairs, out)
    assert again.returncode == 0, again.stderr
    assert parts(out) == parts(whole)


def test_what_is_complete_is_not_done_again(pairs: Path, whole: Path) -> None:
    before = (whole / "part-00000.jsonl").stat().st_mtime_ns
    said = done(pairs, whole)
    assert said.returncode == 0
    assert "is complete: 30000 rows" in said.stderr
    assert (whole / "part-00000.jsonl").stat().st_mtime_ns == before


def test_status_3_says_that_rows_failed(tmp_path: Path) -> None:
    path = lines(tmp_path / "in.jsonl", [{"id": "a", "query": "q", "documents": ["d"]}, {"id": 5}])
    out = tmp_path / "out"
    for _ in range(2):  # done, and found done
        said = done(path, out)
        assert said.returncode == 3
        assert "2 rows, 1 pairs" in said.stderr
        assert "1 failed (errors.jsonl)" in said.stderr
    assert [row["id"] for row in rows_of(out)] == ["a"]
    assert [(row["line"], row["id"]) for row in errors_of(out)] == [(2, 5)]


def test_what_cannot_be_begun_is_one_sentence_and_status_1(tmp_path: Path) -> None:
    path = lines(tmp_path / "in.jsonl", [{"query": "q", "document": "d"}])
    for arguments, said in (
        ((tmp_path / "none.jsonl", tmp_path / "a"), "no such file"),
        ((path, tmp_path / "a", "--sample", "2"), "--sample 2"),
        ((path, tmp_path / "a", "--top-n", "0"), "--top-n 0"),
        ((path, tmp_path / "a", "--columns", "text=x"), "--columns text=x"),
    ):
        found = done(*arguments)
        assert found.returncode == 1
        assert said in found.stderr
        assert len(found.stderr.splitlines()) == 1
