"""What a route costs, and what it does when an upstream fails.

    uv run python bench/routes.py beside [--litellm PEERS/litellm/bin/python]
    uv run python bench/routes.py failing [--seconds 30]
    uv run python bench/routes.py local

`beside`: rerankd and LiteLLM's proxy before the same upstream, which takes 20 ms: what each adds at
one client, asked in turn, and how many requests a CPU second of it handles with 16 clients.
`failing`: one of two upstreams is killed, hangs, is slow or lies, under load; of the p99 of each
second, "before" is the worst, "after" the median, and it is "back" after the last second that is
over twice the worst. `local`: rerankd-mini by its own name and through a route.
bench/setup_peers.sh makes the environment of the proxy.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from routing.clients import Client, Sample, body, in_turn, request, several
from routing.processes import Proxy, litellm, rerankd, upstream
from shared.serving import percentile

DOCUMENTS = 10
DELAY_S = 0.02
CLIENTS = 16
WINDOW_S = 1.0
OK = 200
FAILURES = ("killed", "hung", "slow", "lying")
BASE = 'models = ["rerankd-lexical"]\n[server]\nlog = "json"\n'


def routed(*ports: int, timeout_s: float = 30.0) -> str:
    """Settings of one route to upstreams of one space."""
    found = [BASE]
    for n, port in enumerate(ports):
        found.append(
            f'[upstream.u{n}]\ndialect = "jina"\nurl = "http://127.0.0.1:{port}/v1"\n'
            f'key_env = "UPSTREAM_KEY"\ntimeout_s = {timeout_s}\nin_flight = 1000\n'
        )
    targets = ", ".join(
        f'{{ upstream = "u{n}", name = "theirs", space = "one" }}' for n in range(len(ports))
    )
    return "".join(found) + f'[route."reranker"]\nto = [{targets}]\n'


def ms(samples: Sequence[Sample], share: float = 0.5) -> float:
    """A percentile in milliseconds."""
    return 1000 * percentile([sample.took_s for sample in samples], share)


def per_cpu_s(proxy: Proxy, sent: bytes, seconds: float) -> tuple[float, int]:
    """Requests per CPU second of the proxy, and how many failed."""
    before = proxy.cpu_s()
    samples = asyncio.run(several(proxy.port, sent, clients=CLIENTS, seconds=seconds))
    good = sum(sample.status == OK for sample in samples)
    return good / (proxy.cpu_s() - before), len(samples) - good


def beside(python: Path | None, rounds: int, seconds: float) -> None:
    """Print what each proxy adds, and what a CPU second of it is worth."""
    sent = request("/v1/rerank", body(DOCUMENTS))
    with upstream(DOCUMENTS, DELAY_S) as there, contextlib.ExitStack() as stack:
        proxies = [stack.enter_context(rerankd(routed(there.port)))]
        if python is not None:
            proxies.append(stack.enter_context(litellm(python, there.port)))
        for proxy in proxies:
            asyncio.run(several(proxy.port, sent, clients=4, seconds=2))
        targets = [(there.port, sent), *((proxy.port, sent) for proxy in proxies)]
        direct, *through = in_turn(targets, rounds)
        print(f"direct: p50 {ms(direct):.2f} ms, p99 {ms(direct, 0.99):.2f} ms\n")
        print("| proxy | p50 ms | added p50 ms | added p99 ms | requests per CPU s | failed |")
        print("|---|---|---|---|---|---|")
        for proxy, samples in zip(proxies, through, strict=True):
            rate, failed = per_cpu_s(proxy, sent, seconds)
            failed += sum(sample.status != OK for sample in samples)
            print(
                f"| {proxy.name} | {ms(samples):.2f} | {ms(samples) - ms(direct):.2f} | "
                f"{ms(samples, 0.99) - ms(direct, 0.99):.2f} | {rate:.0f} | {failed} |"
            )


def windows(samples: Sequence[Sample], start_s: float) -> list[tuple[float, float]]:
    """(end of the window after `start_s`, p99 in it) for each window that has answers."""
    found: dict[int, list[float]] = {}
    for sample in samples:
        found.setdefault(int((sample.at_s - start_s) // WINDOW_S), []).append(sample.took_s)
    return [((n + 1) * WINDOW_S, percentile(took, 0.99)) for n, took in sorted(found.items())]


async def _loaded(
    port: int, seconds: float, fail: Callable[[], None]
) -> tuple[list[Sample], float]:
    """All requests of the clients, and when `fail` was called: after a third of the time."""
    sent = request("/v1/rerank", body(DOCUMENTS))
    load = asyncio.create_task(several(port, sent, clients=CLIENTS, seconds=seconds))
    await asyncio.sleep(seconds / 3)
    failed_at_s = time.perf_counter()
    fail()
    return await load, failed_at_s


def failing(seconds: float) -> None:
    """Print a row for each way in which the first of two upstreams fails."""
    print(
        "| first upstream | requests | failed | p99 before ms | p99 after ms | back after s | "
        "upstream requests each |\n|---|---|---|---|---|---|---|"
    )
    for how in FAILURES:
        _fail(how, seconds)


def _fail(how: str, seconds: float) -> None:
    asked: list[int] = []
    with (
        upstream(DOCUMENTS, DELAY_S) as first,
        upstream(DOCUMENTS, DELAY_S) as second,
        rerankd(routed(first.port, second.port, timeout_s=1.0)) as proxy,
    ):

        def fail() -> None:
            if how == "killed":
                asked.append(first.tell())
                first.process.kill()
            else:
                first.tell(how)

        samples, failed_at_s = asyncio.run(_loaded(proxy.port, seconds, fail))
        asked += [found.tell() for found in (first, second)[how == "killed" :]]
        _print_row(how, samples, failed_at_s, sum(asked))


def _print_row(how: str, samples: Sequence[Sample], failed_at_s: float, asked: int) -> None:
    found = windows(samples, failed_at_s)
    calm = max(p99 for end, p99 in found if end <= 0)
    late = [end for end, p99 in found if end > 0 and p99 > 2 * calm]
    failed = sum(sample.status != OK for sample in samples)
    usual = statistics.median(p99 for end, p99 in found if end > 0)
    print(
        f"| {how} | {len(samples)} | {failed} | {1000 * calm:.0f} | {1000 * usual:.0f} | "
        f"{max(late, default=0.0):.0f} | {asked / len(samples):.3f} |"
    )


def local(rounds: int) -> None:
    """Print CPU milliseconds per request of rerankd-mini, by name and through a route."""
    config = '[server]\nlog = "json"\n[route."reranker"]\nto = [{ model = "rerankd-mini" }]\n'
    with rerankd(config, "--model", "rerankd-mini") as proxy:
        spent: dict[str, list[float]] = {"rerankd-mini": [], "reranker": []}
        for name in spent:
            asyncio.run(_fixed(proxy.port, name, 50))
        for _ in range(rounds):
            for name, found in spent.items():
                before = proxy.cpu_s()
                asyncio.run(_fixed(proxy.port, name, 200))
                found.append(1000 * (proxy.cpu_s() - before) / 200)
    print("| name | CPU ms a request: median | lowest | highest |\n|---|---|---|---|")
    for name, found in spent.items():
        print(f"| {name} | {statistics.median(found):.2f} | {min(found):.2f} | {max(found):.2f} |")


async def _fixed(port: int, name: str, count: int) -> None:
    client, sent = Client(port), request("/v1/rerank", body(DOCUMENTS, name))
    for _ in range(count):
        sample = await client.ask(sent)
        if sample.status != OK:
            raise SystemExit(f"{name}: {sample.status}")
    client.close()


def main() -> None:
    """One of the three."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("beside", "failing", "local"))
    parser.add_argument("--litellm", type=Path, help="the python of its environment")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=20.0)
    args = parser.parse_args()
    if args.what == "beside":
        beside(args.litellm, args.rounds, args.seconds)
    elif args.what == "failing":
        failing(args.seconds)
    else:
        local(max(args.rounds // 30, 3))


if __name__ == "__main__":
    main()
