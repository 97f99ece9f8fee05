"""What rerankd-mini costs: start, memory, encoding, and lists whose documents it has seen before.

    uv run python bench/mini.py [--documents 1000] [--starts 3] [--lists 4] [--rounds 15]

Documents are 192 seeded words that are one word piece each; queries have 8. Over HTTP: seconds
from the start of a `rerankd serve` process to its first answer; lists of new documents of many
lengths and then of one, more of them than the vectors that are kept; the last list again, with a
new query each time; resident memory after each. In this process: texts encoded per second and per
CPU second, with tokenising, BM25 and comparing, and the share of the fp32 GEMM peak that is (int8
may pass it). Linux only; an idle machine, or the figures mean little.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from importlib import resources

from shared.serving import Client, Server, parsed, percentile, serving

from rerankd.core.rows import Row
from rerankd.engines.cores import usable_cores
from rerankd.engines.openvino.gemm import GemmPeak
from rerankd.models import mini
from rerankd.models.builtin_files import TOKENIZER

TOKENS, QUERY_WORDS = 192, 8
ENCODED = 256


class Words:
    """Texts of so many word pieces."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        shipped = resources.files("rerankd.builtin") / "mini" / TOKENIZER
        vocabulary: dict[str, int] = json.loads(shipped.read_text("utf-8"))["model"]["vocab"]
        self._words = sorted(word for word in vocabulary if word.isascii() and word.isalpha())

    def text(self, pieces: int) -> str:
        """Words, each one piece."""
        return " ".join(self._random.choices(self._words, k=pieces))

    def documents(self, count: int, *, fewest: int = TOKENS) -> list[str]:
        """New documents of `fewest` to TOKENS pieces."""
        return [self.text(self._random.randint(fewest, TOKENS)) for _ in range(count)]

    def body(self, documents: list[str]) -> bytes:
        """A request with a new query."""
        content = {
            "query": self.text(QUERY_WORDS),
            "documents": documents,
            "return_documents": False,
        }
        return json.dumps(content).encode()


def first_answer_s(body: bytes) -> float:
    """Seconds from the start of a process to its first answer."""
    started = time.perf_counter()
    with serving("rerankd-mini") as server:
        Client(server.port).rerank(body)
        return time.perf_counter() - started


def memory(server: Server, when: str) -> None:
    """Print what the kernel says."""
    found = ", ".join(f"{name} {mb:.0f}" for name, mb in server.memory_mb().items())
    print(f"memory {when}: {found} MiB")


def over_http(words: Words, *, documents: int, lists: int, rounds: int) -> None:
    """Lists of new documents, then the last one again."""
    with serving("rerankd-mini") as server:
        client = Client(server.port)
        client.rerank(words.body(words.documents(2)))
        memory(server, "after the first answer")
        for _ in range(lists):  # every length is a shape whose kernels the runtime keeps
            client.rerank(words.body(words.documents(documents, fewest=1)))
        memory(server, f"after {lists} lists of {documents} documents of 1 to {TOKENS} tokens")
        held: list[str] = []
        for _ in range(lists):
            held = words.documents(documents)
            wall_s, _ = client.rerank(words.body(held))
            print(f"{documents} new documents: {wall_s:.2f} s, {documents / wall_s:.1f} per second")
            memory(server, "after them")
        walls: list[float] = []
        before = sum(server.cpu_s().values())
        for _ in range(rounds):
            wall_s, answer = client.rerank(words.body(held))
            cached = answer["usage"]["prompt_tokens_details"]["cached_tokens"]
            if cached != documents * TOKENS:
                raise SystemExit(f"{cached} tokens were remembered, not all documents")
            walls.append(1000 * wall_s)
        cpu_ms = 1000 * (sum(server.cpu_s().values()) - before) / rounds
        print(
            f"{documents} remembered documents: median {statistics.median(walls):.1f} ms, best "
            f"{min(walls):.1f}, p90 {percentile(walls, 0.9):.1f}; CPU {cpu_ms:.1f} ms each"
        )
        memory(server, "at the end")


def encoding(words: Words, rounds: int) -> None:
    """The engine without HTTP and without a cache."""
    model = mini.load_mini(cache_bytes=0)
    gemm = GemmPeak(usable_cores())
    peak = max(gemm.measure() for _ in range(3))
    gemm.close()
    batches = [words.body(words.documents(ENCODED)) for _ in range(rounds + 1)]
    wall: list[float] = []
    cpu: list[float] = []
    for body in batches:
        started, spent = time.perf_counter(), time.process_time()
        rows: list[Row] = list(model.prepare(parsed(body)).rows)
        for first in range(0, ENCODED, 42):  # about the scheduler's batch of 8192 tokens
            model.engine.forward(rows[first : first + 42])
        wall.append(ENCODED / (time.perf_counter() - started))
        cpu.append(ENCODED / (time.process_time() - spent))
    model.engine.close()
    print(
        f"encoding documents of {TOKENS} tokens: median {statistics.median(wall[1:]):.1f} per "
        f"second ({min(wall[1:]):.1f}-{max(wall[1:]):.1f}), "
        f"{statistics.median(cpu[1:]):.1f} pairs per CPU second"
    )
    share = statistics.median(wall[1:]) * flops(TOKENS + 2) / 1e9 / peak
    print(
        f"fp32 matrix products: {peak:.0f} GFLOP/s; the int8 encoder does {100 * share:.0f} % of it"
    )


def flops(tokens: int) -> float:
    """Floating-point operations of one document, special tokens included, with the projection."""
    with resources.as_file(resources.files("rerankd.builtin") / "mini") as folder:
        config = mini.read_config(folder)
    sizes = config.encoder
    h, wide = sizes.hidden_size, sizes.intermediate_size
    layer = (4 * h * h + 2 * h * wide) * tokens + 2 * h * tokens * tokens
    projection = h * config.token_dimensions * tokens
    return 2.0 * (sizes.num_hidden_layers * layer + projection)


def main() -> None:
    """Print all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--lists", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    words = Words(3)
    body = words.body(words.documents(2))
    starts = [first_answer_s(body) for _ in range(args.starts)]
    print(f"first answer: {', '.join(f'{s:.2f}' for s in starts)} s after the process started")
    over_http(words, documents=args.documents, lists=args.lists, rounds=args.rounds)
    encoding(words, 5)


if __name__ == "__main__":
    main()
