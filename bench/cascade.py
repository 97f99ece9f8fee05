"""What stages keep of a model's ranking and what they save, for long lists.

    python bench/cascade.py DIR... [--model NAME] [--documents 1000] [--keep 200] [--queries 50]

DIR is a collection in the form of rerankd.measure.collection. A query's list is its own candidates
and those of other queries, drawn by a seeded generator until there are enough, then shuffled. Both
ways go through the server's router, without HTTP: MODEL by its name, which scores all, and by an
alias with stages. nDCG@10 with a paired bootstrap interval of the difference. Times: lists of which
no cache knows a document (a number is added to each text), alternating; median and range.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import numpy as np

from rerankd.access.keys import Key
from rerankd.access.rates import RateLimits
from rerankd.core.answer import Ranking
from rerankd.core.cascade import FIRST_STAGE
from rerankd.core.request import Content, RerankRequest
from rerankd.gateway.router import Router
from rerankd.measure.collection import Collection, read_collection
from rerankd.measure.metrics import ndcg
from rerankd.measure.spread import spread
from rerankd.models import catalog
from rerankd.service.base import Trace
from rerankd.service.local import LocalBackend
from rerankd.service.pipeline import Pipeline
from rerankd.service.plan import plan
from rerankd.service.pool import Pool
from rerankd.settings.schema import Limits

STAGED = "staged"
NOBODY = Key(name="bench", digest=b"")
RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Pooled:
    """One query with its long list."""

    qid: str
    query: str
    ids: Sequence[str]
    texts: Sequence[str]

    def request(self, model: str, note: str = "") -> RerankRequest:
        """The list as a request; `note` makes every text new."""
        documents = tuple(Content(value=text + note) for text in self.texts)
        return RerankRequest(query=Content(value=self.query), documents=documents, model=model)


def pooled(collection: Collection, qid: str, documents: int) -> Pooled:
    """The query's candidates and as many of other queries' as are needed, shuffled."""
    draw = random.Random(f"{collection.name} {qid}")
    own = collection.candidates[qid]
    others = {i for listed in collection.candidates.values() for i in listed} - set(own)
    more = draw.sample(sorted(others), min(len(others), max(0, documents - len(own))))
    ids = [*own, *more]
    draw.shuffle(ids)
    return Pooled(qid, collection.queries[qid], ids, [collection.documents[i] for i in ids])


def difference(whole: Sequence[float], staged: Sequence[float]) -> str:
    """Mean difference in points, with the 95 % interval of a paired bootstrap."""
    apart = 100 * (np.array(staged) - np.array(whole))
    drawn = np.random.default_rng(0).integers(0, apart.size, (RESAMPLES, apart.size))
    low, high = np.percentile(apart[drawn].mean(axis=1), (2.5, 97.5))
    return f"{apart.mean():+.2f} ({low:+.2f} to {high:+.2f})"


async def quality(router: Router, collection: Collection, args: argparse.Namespace) -> None:
    """One row of the table."""
    names = sorted(collection.candidates)
    chosen = random.Random(0).sample(names, min(args.queries, len(names)))
    found: dict[str, list[float]] = {FIRST_STAGE: [], args.model: [], STAGED: []}
    went_on: list[float] = []
    sizes: list[int] = []
    for qid in chosen:
        long = pooled(collection, qid, args.documents)
        sizes.append(len(long.ids))
        grades = collection.qrels[qid]
        for name, values in found.items():
            ranking = await ranked(router, long.request(name))
            values.append(ndcg([long.ids[hit.index] for hit in ranking.hits], grades))
            if name == STAGED:
                reranked = {long.ids[hit.index] for hit in ranking.hits if not hit.stage}
                relevant = {i for i in long.ids if grades.get(i, 0) > 0}
                went_on.append(len(relevant & reranked) / len(relevant) if relevant else 1.0)
    lexical, whole, staged = (100 * fmean(values) for values in found.values())
    print(
        f"| {collection.name} | {len(chosen)} | {fmean(sizes):.0f} | {lexical:.1f} | {whole:.1f} "
        f"| {staged:.1f} | {difference(found[args.model], found[STAGED])} "
        f"| {100 * fmean(went_on):.1f} |",
        flush=True,
    )


async def times(router: Router, collection: Collection, args: argparse.Namespace) -> None:
    """Seconds for new lists, both ways, alternating which goes first."""
    taken: dict[str, list[float]] = {args.model: [], STAGED: []}
    tokens: dict[str, list[int]] = {args.model: [], STAGED: []}
    long = [pooled(collection, qid, args.documents) for qid in sorted(collection.candidates)]
    for turn in range(args.rounds + 1):  # the first warms up
        for name in list(taken)[:: 1 if turn % 2 else -1]:
            asked = long[turn % len(long)].request(name, f" {turn} {name}")
            if not turn:
                asked = replace(asked, documents=asked.documents[: 2 * args.keep])
            started = time.perf_counter()
            ranking = await ranked(router, asked)
            if turn:
                taken[name].append(time.perf_counter() - started)
                tokens[name].append(ranking.input_tokens or 0)  # known: a model here counts
    saved = [1 - b / a for a, b in zip(*taken.values(), strict=True)]
    print(f"\n{collection.name}, {len(long[0].ids)} new documents a list, seconds and tokens:\n")
    for name, values in taken.items():
        print(f"- {name}: {spread(values):.2f} s, {fmean(tokens[name]):.0f} tokens")
    print(f"- saved: {100 * fmean(saved):.0f} % of the time", flush=True)


async def ranked(router: Router, request: RerankRequest) -> Ranking:
    """One request, as a caller without limits."""
    return (await router.rerank((request,), NOBODY, Trace()))[0]


async def run(args: argparse.Namespace) -> None:
    """All collections."""
    collections = [read_collection(folder) for folder in args.folders]
    name = plan((args.model,), {}, {}).specs[0].name
    stages = {STAGED: [f"{FIRST_STAGE}:{args.keep}", name]}
    pool = Pool(Limits(request_tokens=1 << 26, queue_tokens=1 << 26))
    await pool.start(plan((args.model,), {STAGED: name}, {}, stages))
    await pool.load()
    args.model = name
    limits = Limits(documents=args.documents, document_bytes=1 << 24, query_bytes=1 << 20)
    backend = LocalBackend(pool, Pipeline(limits))
    router = Router(backend, RateLimits(), documents=args.documents)
    print(f"{name}, {FIRST_STAGE}:{args.keep}\n")
    if args.queries:
        print(
            f"| collection | queries | documents | {FIRST_STAGE} | all by {name} | stages "
            "| difference | relevant that went on, % |\n|---|---|---|---|---|---|---|---|"
        )
        for collection in collections:
            await quality(router, collection, args)
    if args.rounds:
        await times(router, collections[0], args)
    await backend.close()


def main() -> None:
    """Print the table, then the times of the first collection."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--model", default=catalog.DEFAULT)
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--keep", type=int, default=200)
    parser.add_argument("--queries", type=int, default=50, help="per collection; 0 = times only")
    parser.add_argument("--rounds", type=int, default=3, help="of times; 0 = quality only")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
