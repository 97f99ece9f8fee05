"""What explaining costs beside ranking: the time of /v1/rerank/explain over that of /v1/rerank.

    uv run --group dev python bench/explain.py [--models rerankd-mini rerankd-multi] [--lists 6]

Documentation of Python's standard library in lists of 50 documents, asked for in turn by both
paths. `new`: texts that the model has never read. `remembered`: the same lists, with a query that
is new. Over HTTP, until the last byte is here; medians of the lists, also of the CPU time of the
server, which depends less on what else runs, in steps of 10 ms. Scores must be the same to the
last bit.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
from collections.abc import Sequence

from shared.serving import Client, serving

from rerankd.measure.texts import standard_library

DOCUMENTS, CHARACTERS = 50, 700
PATHS = ("/v1/rerank", "/v1/rerank/explain")


def lists(count: int) -> list[list[str]]:
    """Different texts of CHARACTERS."""
    whole = "\n".join(dict.fromkeys(standard_library()))
    texts = [whole[i : i + CHARACTERS] for i in range(0, len(whole), CHARACTERS)]
    if len(texts) < count * DOCUMENTS:
        raise SystemExit(f"The standard library has {len(texts)} texts: fewer --lists, please.")
    random.Random(19).shuffle(texts)
    return [texts[i * DOCUMENTS : (i + 1) * DOCUMENTS] for i in range(count)]


def query(document: str, number: int) -> str:
    """Some words of a document, and one that no query before had."""
    return f"{' '.join(document.split()[:12])} {number}"


def body(question: str, documents: Sequence[str]) -> bytes:
    """A request as JSON."""
    content = {"query": question, "documents": documents, "return_documents": False}
    return json.dumps(content).encode()


def same_scores(client: Client, question: str, documents: Sequence[str]) -> None:
    """Stop unless both paths give the same."""
    found = [
        [(each["index"], each["relevance_score"]) for each in answer["results"]]
        for _, answer in (client.rerank(body(question, documents), path) for path in PATHS)
    ]
    if found[0] != found[1]:
        raise SystemExit("Both paths must give the same scores.")


def measured(model: str, count: int) -> dict[str, dict[str, float]]:
    """Of new and of remembered lists: ms and CPU ms of a request by path, and their ratios."""
    made = lists(2 * count)
    found: dict[str, dict[str, float]] = {}
    with serving(model) as server:
        client = Client(server.port)
        same_scores(client, "is it warm", ["it is", "it is not"])
        for kind in ("new", "remembered"):
            wall: dict[str, list[float]] = {path: [] for path in PATHS}
            cpu: dict[str, list[float]] = {path: [] for path in PATHS}
            for i in range(count):
                pair = zip(PATHS, made[2 * i : 2 * i + 2], strict=True)
                for path, documents in list(pair)[:: 1 if i % 2 else -1]:
                    sent = body(query(documents[0], len(found) * 1000 + i), documents)
                    before = sum(server.cpu_s().values())
                    wall[path].append(client.rerank(sent, path)[0])
                    cpu[path].append(sum(server.cpu_s().values()) - before)
            found[kind] = _summed(wall, cpu)
        same_scores(client, "how to open a file", made[0])
    return found


def _summed(wall: dict[str, list[float]], cpu: dict[str, list[float]]) -> dict[str, float]:
    plain, explained = PATHS
    ms = {path: 1000 * statistics.median(times) for path, times in wall.items()}
    cpu_ms = {path: 1000 * statistics.median(times) for path, times in cpu.items()}
    found = {f"{path}, ms": ms[path] for path in PATHS}
    found |= {f"{path}, CPU ms": cpu_ms[path] for path in PATHS}
    found["ratio"] = ms[explained] / ms[plain]
    found["ratio of CPU"] = cpu_ms[explained] / cpu_ms[plain]
    return {name: round(value, 2) for name, value in found.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--models", nargs="+", default=["rerankd-mini", "rerankd-multi"])
    parser.add_argument("--lists", type=int, default=6)
    given = parser.parse_args()
    print(json.dumps({each: measured(each, given.lists) for each in given.models}, indent=1))


if __name__ == "__main__":
    main()
