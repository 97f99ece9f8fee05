"""`rerankd bulk`: killed and gone on, its rate beside the engine's own, its memory.

    python bench/bulk.py kill --pairs 1000000 --model rerankd-lexical
    python bench/bulk.py rate --pairs 20000 --model rerankd-mini

kill: one job is left alone, another of the same input is ended by kill -9 three times, at a
quarter, a half and three quarters. Both folders must hold the same bytes: every id once, in order.
rate: a job's pairs per second beside those of the library, which ranks the same pairs in lists of
a hundred. Memory is the resident set of the process, looked at each quarter of a second.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from rerankd.cli.options import model_spec
from rerankd.core.request import Content, RerankRequest
from rerankd.models.load import load
from rerankd.service.reranker import Reranker

DATA = Path(__file__).parents[1] / "tests" / "data"
WORDS_OF_DOCUMENT = (8, 30, 60)
PAIRS_OF_QUERY = 100
KILLS = (0.25, 0.5, 0.75)
LOOK_S = 0.25


def words() -> list[str]:
    """Of Wikipedia, German."""
    text = (DATA / "xquad-de" / "docs.jsonl").read_text()
    texts: list[str] = [json.loads(line)["text"] for line in text.splitlines()]
    return " ".join(texts).split()


def rows(count: int) -> Iterator[tuple[int, str, str]]:
    """Id, query and document of pairs; always the same."""
    draw, known, query = random.Random(7), words(), ""
    for i in range(count):
        if i % PAIRS_OF_QUERY == 0:
            query = " ".join(draw.choices(known, k=6))
        begin = draw.randrange(len(known) - WORDS_OF_DOCUMENT[-1])
        size = draw.choice(WORDS_OF_DOCUMENT)
        yield i, query, " ".join([*known[begin : begin + size], str(i)])


def write_input(path: Path, count: int) -> None:
    """A file of pairs."""
    with path.open("wb") as file:
        for own, query, document in rows(count):
            row = {"id": own, "query": query, "document": document}
            file.write(msgspec.json.encode(row) + b"\n")


@dataclass(slots=True)
class Watched:
    """A job that ended."""

    seconds: float
    status: int
    resident: list[tuple[float, int]]  # share of the rows that were written; bytes


def resident(pid: int) -> int:
    """Bytes; 0: it has ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = [line.split() for line in text.splitlines() if line.startswith("VmRSS")]
    return int(found[0][1]) * 1024 if found else 0


def rows_done(out: Path) -> int:
    """Rows that are on the disk."""
    try:
        return json.loads((out / "progress.json").read_bytes())["counts"]["rows"]
    except (OSError, ValueError):
        return 0


def run_job(source: Path, out: Path, model: str, count: int, kill_at: int | None = None) -> Watched:
    """Run the command, to its end or until so many rows are written."""
    command = [sys.executable, "-m", "rerankd", "bulk", str(source), str(out), "--model", model]
    began, seen = time.perf_counter(), list[tuple[float, int]]()
    with subprocess.Popen(  # noqa: S603 - our own program
        command, stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None:
            done = rows_done(out)
            if size := resident(process.pid):
                seen.append((done / count, size))
            if kill_at is not None and done >= kill_at:
                process.kill()
            time.sleep(LOOK_S)
    return Watched(time.perf_counter() - began, process.returncode, seen)


def digest(out: Path) -> str:
    """Of all parts, in order."""
    found = hashlib.sha256()
    for path in sorted(out.glob("part-*.jsonl")):
        found.update(path.read_bytes())
    return found.hexdigest()


def check_order(out: Path, count: int) -> None:
    """Every id once, in order. Raises AssertionError."""
    at = 0
    for path in sorted(out.glob("part-*.jsonl")):
        with path.open("rb") as file:
            for line in file:
                if msgspec.json.decode(line)["id"] != at:
                    raise AssertionError(f"{path}: {line!r} where {at} is expected")
                at += 1
    if at != count:
        raise AssertionError(f"{at} rows, not {count}")


def show_memory(job: Watched) -> None:
    """Where the resident set was on the way."""
    for low, high in ((0.0, 0.1), (0.1, 0.5), (0.5, 0.9), (0.9, 1.1)):
        own = [size for share, size in job.resident if low < share <= high]
        if own:
            print(f"  rows {low:.0%} to {min(high, 1):.0%}: {max(own) / 1e6:.0f} MB")


def kill(folder: Path, count: int, model: str) -> None:
    """Three kills, and what is left alone."""
    source = folder / "pairs.jsonl"
    write_input(source, count)
    print(f"{count} pairs, {source.stat().st_size / 1e6:.0f} MB, {model}", flush=True)
    whole = run_job(source, folder / "whole", model, count)
    print(f"left alone: {whole.seconds:.0f} s, status {whole.status}", flush=True)
    show_memory(whole)
    check_order(folder / "whole", count)
    killed = 0
    for share in KILLS:
        job = run_job(source, folder / "killed", model, count, int(count * share))
        killed += job.status == -signal.SIGKILL
        print(
            f"kill -9 at {share:.0%}: status {job.status}, {rows_done(folder / 'killed')} rows",
            flush=True,
        )
    last = run_job(source, folder / "killed", model, count)
    print(f"gone on: {last.seconds:.0f} s, status {last.status}")
    check_order(folder / "killed", count)
    same = digest(folder / "whole") == digest(folder / "killed")
    print(f"{killed} kills; {count} rows, each once, in order; bytes equal: {same}")
    if not same or killed != len(KILLS):
        sys.exit(1)


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast, and at what cost; the second tells more on a machine that others use too."""

    pairs_per_s: float
    cpu_ms: float  # of all threads, a pair

    def __str__(self) -> str:
        return f"{self.pairs_per_s:.0f} pairs/s, {self.cpu_ms:.3f} CPU-ms a pair"


def library_rate(count: int, model: str) -> Rate:
    """Of the library, model loaded."""
    with Reranker.of(load(model_spec(model))) as reranker:
        found = list(rows(count))
        lists = [found[i : i + PAIRS_OF_QUERY] for i in range(0, count, PAIRS_OF_QUERY)]
        requests = [
            RerankRequest(
                query=Content(value=own[0][1]),
                documents=tuple(Content(value=document) for _, _, document in own),
            )
            for own in lists
        ]
        reranker.rerank(requests[0])
        wall, cpu = time.perf_counter(), time.process_time()
        for request in requests[1:]:
            reranker.rerank(request)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Rate((count - PAIRS_OF_QUERY) / wall, 1e3 * cpu / (count - PAIRS_OF_QUERY))


def job_rate(folder: Path, count: int, model: str) -> Rate:
    """Of a job, without what an input of one query takes."""
    walls, cpus = list[float](), list[float]()
    for size in (PAIRS_OF_QUERY, count):
        source = folder / f"pairs-{size}.jsonl"
        write_input(source, size)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        walls.append(run_job(source, folder / f"out-{time.monotonic_ns()}", model, size).seconds)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    pairs = count - PAIRS_OF_QUERY
    return Rate(pairs / (walls[1] - walls[0]), 1e3 * (cpus[1] - cpus[0]) / pairs)


def rate(folder: Path, count: int, model: str, rounds: int) -> None:
    """Both in turns."""
    speeds, costs = list[float](), list[float]()
    for _ in range(rounds):
        library, job = library_rate(count, model), job_rate(folder, count, model)
        speeds.append(job.pairs_per_s / library.pairs_per_s)
        costs.append(job.cpu_ms / library.cpu_ms)
        print(f"library {library}; bulk {job}: {speeds[-1]:.2f} of its rate", flush=True)
    print(
        f"{model}: {statistics.median(speeds):.2f} of the library's rate, "
        f"{statistics.median(costs):.2f} of its CPU; medians of {rounds} rounds"
    )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("kill", "rate"))
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--model", default="rerankd-lexical")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        if given.what == "kill":
            kill(Path(folder), given.pairs, given.model)
        else:
            rate(Path(folder), given.pairs, given.model, given.rounds)


if __name__ == "__main__":
    main()
