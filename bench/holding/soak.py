"""Real traffic for a long time: several dialects, sizes, leavers, bad bodies. Does memory grow?"""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from .client import NAMES_OF_STATUS, Answer, Clients
from .figures import percentile, slope
from .process import serving
from .texts import Texts, filled, one_document

CLIENTS = 6
_EVERY_S = 5.0
_LATER = 0.25  # the slope is of what comes after this share

Make = Callable[[random.Random, Texts], tuple[str, bytes, float, str]]  # path, body, patience, head


def _documents(texts: Texts, count: int) -> list[str]:
    return [texts.document(25).decode() for _ in range(count)]


def _rerank(path: str, **fields: Any) -> Make:
    def make(draw: random.Random, texts: Texts) -> tuple[str, bytes, float, str]:
        documents = _documents(texts, draw.choice((1, 4, 4, 10, 30)))
        body = {"query": "which of them", "documents": documents, **fields}
        return path, json.dumps(body).encode(), 120.0, ""

    return make


def _tei(draw: random.Random, texts: Texts) -> tuple[str, bytes, float, str]:
    body = {"query": "which of them", "texts": _documents(texts, draw.randint(1, 10))}
    return "/tei/rerank", json.dumps(body).encode(), 120.0, ""


def _zipped(_: random.Random, texts: Texts) -> tuple[str, bytes, float, str]:
    return "/v1/rerank", gzip.compress(texts.body(4)), 120.0, "content-encoding: gzip\r\n"


def _large(draw: random.Random, texts: Texts) -> tuple[str, bytes, float, str]:
    """A hundred documents, or a long one."""
    if draw.random() < 0.5:
        return "/v1/rerank", texts.body(100), 300.0, ""
    return "/v1/rerank", one_document(texts.document(4000).decode()), 300.0, ""


def _leaver(draw: random.Random, texts: Texts) -> tuple[str, bytes, float, str]:
    """Gone before the answer."""
    return "/v1/rerank", texts.body(60), draw.uniform(0.0, 0.4), ""


def _odd(draw: random.Random, _: Texts) -> tuple[str, bytes, float, str]:
    """Texts that tokenisers do not love."""
    piece = draw.choice(("\ufdfa", "1.1", "a\u0301\u0316", "\u6771", "\U0001f469\u200d", " "))
    return "/v1/rerank", one_document(filled(piece, 20_000)), 300.0, ""


def _bad(draw: random.Random, texts: Texts) -> tuple[str, bytes, float, str]:
    """Refused with a 4xx."""
    whole = texts.body(4)
    cut = whole[: draw.randrange(len(whole))]
    body = draw.choice((cut, b"", b"[]", b'{"query":1}', b"\xff" * 50, b"[" * 5000))
    path = draw.choice(("/v1/rerank", "/jina/v1/rerank", "/nosuch", "/tei/rerank"))
    return path, body, 60.0, ""


# What is sent -> how often.
TRAFFIC: dict[Make, int] = {
    _rerank("/v1/rerank"): 30,
    _rerank("/v2/rerank", model="rerankd-mini"): 10,
    _rerank("/jina/v1/rerank", model="rerankd-mini"): 10,
    _rerank("/v1/rerank", return_documents=True, top_n=3): 10,
    _tei: 10,
    _zipped: 5,
    _large: 2,
    _leaver: 8,
    _odd: 3,
    _bad: 12,
}


async def measure(command: Sequence[str], minutes: float) -> dict[str, Any]:
    """Slopes of memory, descriptors and threads by least squares over the last three quarters."""
    samples: list[dict[str, float]] = []
    counts: Counter[str] = Counter()
    times: list[float] = []
    failed: list[str] = []
    with serving(command) as server:
        started = time.monotonic()
        end = started + 60 * minutes

        def note(path: str, answer: Answer) -> None:
            counts[NAMES_OF_STATUS.get(answer.status, str(answer.status))] += 1
            if answer.status == 200:
                times.append(answer.taken_s)
            if answer.status >= 500 and answer.status != 503:
                failed.append(f"{path}: {answer.status}")

        async def client(number: int) -> None:
            texts, draw = Texts(number), random.Random(number)
            clients = Clients(server.port)
            makes, weights = list(TRAFFIC), list(TRAFFIC.values())
            while time.monotonic() < end:
                path, body, patience, head = draw.choices(makes, weights)[0](draw, texts)
                note(path, await clients.post(body, path=path, give_up_s=patience, extra=head))
                if draw.random() < 0.05:
                    clients.close()
            clients.close()

        async def sample() -> None:
            while time.monotonic() < end:
                used = server.usage()
                at = (time.monotonic() - started) / 60
                samples.append(
                    {"min": at, "mb": used.rss_mb, "fds": used.fds, "threads": used.threads}
                )
                await asyncio.sleep(min(_EVERY_S, 60 * minutes / 40))

        await asyncio.gather(sample(), *(client(number) for number in range(CLIENTS)))
        await asyncio.sleep(2)
        last = server.usage()
        errors = server.events("error", "critical")
    later = [s for s in samples if s["min"] >= _LATER * minutes]
    return {
        "minutes": minutes,
        "requests": sum(counts.values()),
        "statuses": dict(sorted(counts.items())),
        "failed": failed[:20],
        "errors_logged": len(errors),
        "p50_s": percentile(times, 0.5),
        "p99_s": percentile(times, 0.99),
        "mb_per_min": slope([(s["min"], s["mb"]) for s in later]),
        "fds_per_min": slope([(s["min"], s["fds"]) for s in later]),
        "threads_per_min": slope([(s["min"], s["threads"]) for s in later]),
        "first_mb": samples[0]["mb"],
        "quarter_mb": later[0]["mb"],
        "last_mb": last.rss_mb,
        "peak_mb": max(s["mb"] for s in samples),
        "samples": samples[:: max(1, len(samples) // 60)],
    }
