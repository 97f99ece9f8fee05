"""How long it takes to find a key among many, and to take over a change: `python bench/keys.py`.

Keys are random, as those of callers are: each look-up hashes one, and meets memory that no cache
holds.
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import TypeVar

from rerankd.access.fields import KeyFields
from rerankd.access.keys import Key, digest
from rerankd.access.rates import RateLimits
from rerankd.access.ring import KeyRing
from rerankd.access.token import make
from rerankd.core.errors import Unauthorized
from rerankd.store.database import open_database
from rerankd.store.key_feed import KeyFeed
from rerankd.store.keys import KeyRepo, MadeElsewhere
from rerankd.store.migrate import migrate

T = TypeVar("T")
LOOKUPS = 200_000
AT_ONCE = 500


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--store", action="store_true", help="read them from a SQLite file as well")
    given = parser.parse_args()
    texts = [make().text.encode() for _ in range(given.keys)]
    ring = KeyRing()
    started = time.perf_counter()
    for number, text in enumerate(texts):
        ring.put([Key(name=f"key-{number}", digest=digest(text), id=number, rpm=10**9)])
    filled_s = time.perf_counter() - started
    chosen = random.Random(7).choices(texts, k=LOOKUPS)
    rates = RateLimits()
    print(f"{given.keys} keys, {LOOKUPS} look-ups in random order, microseconds each")
    _row("found", _times(ring.authenticate, chosen))
    _row("unknown", _times(lambda text: _refused(ring, text), [text + b"x" for text in chosen]))
    _row("found, RPM", _times(lambda text: rates.take_request(ring.authenticate(text)), chosen))
    key = ring.authenticate(texts[0])
    edited = [dataclasses.replace(key, rpm=rpm) for rpm in range(1, 10_001)]
    _row("one key changed", _times(lambda each: ring.put([each]), edited))
    print(f"ring filled in {filled_s:.2f} s")
    if given.store:
        _stored(texts)


def _refused(ring: KeyRing, text: bytes) -> None:
    try:
        ring.authenticate(text)
    except Unauthorized:
        return


def _times(call: Callable[[T], object], over: list[T]) -> list[float]:
    """Microseconds of each call."""
    found: list[float] = []
    for each in over:
        started = time.perf_counter_ns()
        call(each)
        found.append((time.perf_counter_ns() - started) / 1000)
    return found


def _row(name: str, times: list[float]) -> None:
    cuts = statistics.quantiles(times, n=1000)
    print(
        f"{name:16} p50 {cuts[499]:6.2f}  p99 {cuts[989]:6.2f}  mean {statistics.mean(times):6.2f}"
    )


def _stored(texts: list[bytes]) -> None:
    """Write all into a store, then take them over as a start of a server does."""
    with tempfile.TemporaryDirectory() as folder:
        database = open_database(f"sqlite:///{folder}/keys.db")
        migrate(database)
        repo = KeyRepo(database)
        started = time.perf_counter()
        for first in range(0, len(texts), AT_ONCE):
            some = [
                MadeElsewhere(KeyFields(name=f"key-{first + n}"), (digest(text),))
                for n, text in enumerate(texts[first : first + AT_ONCE])
            ]
            repo.take_over(some, ())
        print(f"written to SQLite in {time.perf_counter() - started:.1f} s")
        ring = KeyRing()
        started = time.perf_counter()
        steps = list(KeyFeed(repo, ring.put).read(0))
        read_s = time.perf_counter() - started
        longest = 0.0
        for step in steps:
            began = time.perf_counter()
            step()
            longest = max(longest, time.perf_counter() - began)
        print(f"read in {read_s:.1f} s on another thread, longest step of the loop {longest:.4f} s")
        number = repo.changed_since(0).change
        repo.revoke("key-7")
        started = time.perf_counter()
        for step in KeyFeed(repo, ring.put).read(number):
            step()
        print(f"one revoked key read and taken over in {time.perf_counter() - started:.4f} s")
        database.close()


if __name__ == "__main__":
    main()
