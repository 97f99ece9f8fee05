"""What rerankd-multi costs beside rerankd-mini, and whether rerankd-mini costs what it did before.

    uv run python bench/multi.py --before CHECKOUT --texts DIR [--rounds 12] [--part new ...]

CHECKOUT: an earlier commit with a .venv of its own. DIR: collections xquad-en, xquad-de, xquad-zh.
Documents are sentences of one language in random order, cut at 192 word pieces of XLM-R's
vocabulary (--pieces-of mini: of MiniLM's); no two are equal, and every model gets the same ones.
Rounds alternate between rerankd-mini of the checkout, rerankd-mini and rerankd-multi of this one,
each a process with one thread and its default settings. What is compared is CPU time: the machine
need not be idle.

new: documents that no model has seen, per CPU second, for each direction (question-documents).
remembered: a list whose documents are known, with a new question; they are cut by MiniLM's
  vocabulary, or rerankd-mini's memory would not hold them.
start: seconds from the start of `rerankd serve`, the default, to its first answer. All cores.
memory: resident, after lists of 1000 new documents of 1 to 192 pieces in three languages.

Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import statistics
import sys
import time
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Final

from shared.serving import Client, serving
from shared.workers import SRC, Worker

from rerankd.measure.collection import read_collection
from rerankd.measure.workload import Request
from rerankd.models.builtin_files import Folder
from rerankd.models.multi import MultiConfig
from rerankd.models.text_encoder import TextEncoder
from rerankd.models.tokenizer_file import read_any_tokenizer

PIECES: Final = 192
DIRECTIONS: Final = ("en-en", "zh-zh", "zh-en", "de-de")
LANGUAGES: Final = ("en", "de", "zh")
BEFORE, MINI, MULTI = SYSTEMS = ("rerankd-mini before", "rerankd-mini", "rerankd-multi")
PARTS: Final = ("new", "remembered", "start", "memory")


class Texts:
    """Questions and new documents of each language."""

    def __init__(self, folder: Path) -> None:
        self._draw = random.Random(5)
        held = {one: read_collection(folder / f"xquad-{one}") for one in LANGUAGES}
        self._questions = {one: list(held[one].queries.values()) for one in LANGUAGES}
        self._sentences = {
            one: [
                sentence
                for passage in held[one].documents.values()
                for sentence in re.split(r"(?<=[.!?]) |(?<=[。！？])", passage)
                if sentence
            ]
            for one in LANGUAGES
        }
        self._encoders = {"multi": _encoder("multi"), "mini": _encoder("mini")}

    def question(self, language: str) -> str:
        """One of a hundred."""
        return self._draw.choice(self._questions[language])

    def document(self, language: str, vocabulary: str, pieces: int = PIECES) -> str:
        """So many pieces."""
        encoder, space = self._encoders[vocabulary], "" if language == "zh" else " "
        text = ""
        while encoder.encode(text, "text", _go_on).size < pieces:
            text += space + self._draw.choice(self._sentences[language])
        return encoder.covered(text, pieces, _go_on).strip()

    def pieces(self, text: str) -> tuple[int, int]:
        """By XLM-R's vocabulary, and by MiniLM's."""
        multi, mini = (self._encoders[name].encode(text, "text", _go_on) for name in self._encoders)
        return multi.size, mini.size

    def request(self, direction: str, count: int, vocabulary: str) -> Request:
        """A question and new documents."""
        asked, read = direction.split("-")
        documents = tuple(self.document(read, vocabulary) for _ in range(count))
        return Request(self.question(asked), documents)

    def mixed(self, count: int) -> Request:
        """Documents of 1 to PIECES pieces, in all languages."""
        found = tuple(
            self.document(LANGUAGES[i % 3], "multi", self._draw.randint(1, PIECES))
            for i in range(count)
        )
        return Request(self.question(self._draw.choice(LANGUAGES)), found)


def _go_on() -> None:
    """Nobody waits."""


def _encoder(name: str) -> TextEncoder:
    if name == "mini":
        with resources.as_file(resources.files("rerankd.builtin") / "mini") as folder:
            return TextEncoder(read_any_tokenizer(folder, 30_522)[0])
    with resources.as_file(resources.files("rerankd_multi") / "model") as folder:
        sizes = Folder(folder, "").config(MultiConfig).encoder.encoder()
        return TextEncoder(read_any_tokenizer(folder, sizes.vocab)[0])


def workers(before: Path) -> dict[str, Worker]:
    """One of each system, loaded, with one thread."""
    python = before / ".venv" / "bin" / "python"
    script, here = "rerankd_worker.py", Path(sys.executable)
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})  # what they start with, and count
    made = {
        BEFORE: Worker(BEFORE, python, script, MINI, source=before / "src"),
        MINI: Worker(MINI, here, script, MINI, source=SRC),
        MULTI: Worker(MULTI, here, script, MULTI, source=SRC),
    }
    for worker in made.values():
        worker.wait()
    os.sched_setaffinity(0, allowed)
    return made


def new_documents(made: dict[str, Worker], texts: Texts, args: argparse.Namespace) -> None:
    """Documents per CPU second."""
    rates: dict[str, dict[str, list[float]]] = {d: {s: [] for s in SYSTEMS} for d in DIRECTIONS}
    sizes: dict[str, list[tuple[int, int]]] = {d: [] for d in DIRECTIONS}
    for turn in range(args.rounds + 1):
        for direction in DIRECTIONS:
            request = texts.request(direction, args.documents, args.pieces_of)
            sizes[direction] += map(texts.pieces, request.documents)
            for system in rotated(turn):
                cost = made[system].ask(request)["cpu_s"]
                if turn:  # the first one compiles kernels
                    rates[direction][system].append(args.documents / cost)
    print(f"\nnew documents per CPU second: median of {args.rounds} rounds (best)")
    ratios = [table(rates[d], f"{d}, {_mean_sizes(sizes[d])}") for d in DIRECTIONS]
    print(f"geometric mean of {MULTI} / {BEFORE}: {statistics.geometric_mean(ratios):.2f}")


def _mean_sizes(sizes: Sequence[tuple[int, int]]) -> str:
    multi, mini = (statistics.mean(column) for column in zip(*sizes, strict=True))
    return f"{multi:.0f} pieces of XLM-R's vocabulary, {mini:.0f} of MiniLM's"


def rotated(turn: int) -> list[str]:
    """The systems, another one first each time."""
    return [*SYSTEMS[turn % 3 :], *SYSTEMS[: turn % 3]]


def table(found: dict[str, list[float]], title: str) -> float:
    """Print one direction; the ratio of rerankd-multi to rerankd-mini before, of medians."""
    median = {system: statistics.median(values) for system, values in found.items()}
    print(f"  {title}")
    for system, values in found.items():
        share = statistics.median(
            one / other for one, other in zip(values, found[BEFORE], strict=True)
        )
        best = max(values)
        print(f"    {system:20} {median[system]:7.1f} ({best:.1f}), by round {share:.2f} x")
    return median[MULTI] / median[BEFORE]


def remembered(made: dict[str, Worker], texts: Texts, args: argparse.Namespace) -> None:
    """CPU milliseconds of a list that is known."""
    print("\nremembered documents, CPU ms for a list of 1000: median (best)")
    for direction in ("en-en", "de-de"):
        known = texts.request(direction, 1000, "mini").documents
        spent: dict[str, list[float]] = {system: [] for system in SYSTEMS}
        for turn in range(args.rounds + 1):
            request = Request(texts.question(direction[:2]), known)
            for system in rotated(turn):
                cost = made[system].ask(request)["cpu_s"]
                if turn:
                    spent[system].append(1000 * cost)
        print(f"  {direction}")
        for system, values in spent.items():
            median, first = statistics.median(values), statistics.median(spent[BEFORE])
            print(f"    {system:20} {median:7.1f} ({min(values):.1f}), {median / first:.2f} x")


def body(request: Request) -> bytes:
    """As JSON."""
    content = {"query": request.query, "documents": request.documents, "return_documents": False}
    return json.dumps(content).encode()


def start(texts: Texts, args: argparse.Namespace) -> None:
    """Wall and CPU seconds until the first answer of the default."""
    asked = body(texts.request("zh-en", 4, "multi"))
    found: dict[str, list[tuple[float, float]]] = {MULTI: [], MINI: []}
    for _ in range(args.starts):
        for name, model in ((MULTI, None), (MINI, MINI)):
            started = time.perf_counter()
            with serving(model) as server:
                _, answer = Client(server.port).rerank(asked)
                wall_s = time.perf_counter() - started
                if answer["model"] != name:
                    raise SystemExit(f"{answer['model']} answered")
                found[name].append((wall_s, sum(server.cpu_s().values())))
    print("\nfirst answer after the start of `rerankd serve`: best and median, s")
    for name, times in found.items():
        for what, column in zip(("wall", "CPU"), zip(*times, strict=True), strict=True):
            print(f"  {name:20} {what:4} {min(column):.2f} {statistics.median(column):.2f}")


def memory(texts: Texts, lists: int) -> None:
    """Resident memory of the default."""
    print("\nresident, MiB")
    with serving(None) as server:
        client = Client(server.port)
        client.rerank(body(texts.request("en-en", 2, "multi")))
        print(f"  after the first answer {server.memory_mb()}")
        for number in range(lists):
            client.rerank(body(texts.mixed(1000)))
            print(f"  after {number + 1} lists {server.memory_mb()}", flush=True)


def main() -> None:
    """Print all parts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--documents", type=int, default=16)
    parser.add_argument("--pieces-of", choices=("multi", "mini"), default="multi")
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--lists", type=int, default=5)
    parser.add_argument("--part", choices=PARTS, action="append")
    args = parser.parse_args()
    texts, parts = Texts(args.texts), args.part or PARTS
    if {"new", "remembered"} & set(parts):
        made = workers(args.before)
        for part, measure in (("new", new_documents), ("remembered", remembered)):
            if part in parts:
                measure(made, texts, args)
        for worker in made.values():
            worker.close()
    if "start" in parts:
        start(texts, args)
    if "memory" in parts:
        memory(texts, args.lists)


if __name__ == "__main__":
    main()
