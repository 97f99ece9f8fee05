"""`rerankd upstream`."""

from __future__ import annotations

import asyncio
import statistics
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.table import Table

from rerankd import __version__
from rerankd.cli.flags import effective
from rerankd.cli.terminal import console
from rerankd.core.errors import StartError
from rerankd.dialects.registry import callable_dialects
from rerankd.gateway.failover import Outcome
from rerankd.gateway.fleet import Fleet
from rerankd.gateway.plan import GatewayPlan
from rerankd.gateway.targets import RoutedName, RouteTarget, in_space_of
from rerankd.gateway.trial import (
    Difference,
    Trial,
    difference,
    golden,
    in_order,
    try_out,
)
from rerankd.models.load import load
from rerankd.service.plan import ServingPlan
from rerankd.service.reranker import Reranker
from rerankd.web.assemble import gateway_of, plan_of
from rerankd.web.control import running

Config = Annotated[Path | None, Parameter(help="TOML file, as for `rerankd serve`.")]


def dialects() -> None:
    """List the dialects that an upstream can speak."""
    table = _table("dialect", "path", "fields that change scores and have a place")
    for name, dialect in callable_dialects().items():
        fields = dialect.carries - {"model", "top_n", "return_documents", "priority"}
        path = dialect.paths[0].removeprefix("/")
        said = f"= {dialect.name}" if name != dialect.name else ", ".join(sorted(fields)) or "none"
        table.add_row(name, f"/{path}", said)
    console().print(table)


def listed(*, config: Config = None) -> None:
    """List the upstreams of the settings, and how they do in running servers of this user."""
    plan, _ = _plans(config)
    table = _table("upstream", "dialect", "url", "keys", "routes")
    for name, upstream in plan.upstreams.items():
        routes = [r.name for r in plan.routes.values() if any(t.upstream == name for t in _all(r))]
        table.add_row(
            name,
            upstream.dialect.name,
            upstream.settings.url,
            str(len(upstream.keys)) if upstream.keys else "none",
            ", ".join(routes) or "none",
        )
    out = console()
    out.print(table)
    for report in running():
        if not report.upstreams:
            continue
        out.print(f"\nRunning: {report.url} (process {report.pid})")
        now = _table("upstream", "breaker", "asked again in", "in flight", "keys", "has not")
        for found in report.upstreams:
            keys = f"{found.keys} good, {found.keys_resting} resting, {found.keys_refused} refused"
            wait = f"{found.wait_s:.0f} s" if found.wait_s else ""
            models = ", ".join(found.unknown_models)
            now.add_row(found.name, found.state, wait, str(found.in_flight), keys, models)
        out.print(now)


def tried(  # noqa: PLR0913 - one for each flag
    name: str,
    /,
    *,
    model: str | None = None,
    against: str | None = None,
    store: Path | None = None,
    tolerance: float = 0.01,
    json: bool = False,
    config: Config = None,
) -> None:
    """Ask an upstream for pairs that ship with rerankd: scores, tokens, time, dropped fields.

    Whoever shares a space with it in a route is asked as well. Status 1 when it did not answer
    every query, or its scores are further than the tolerance from those of the local model, of who
    shares its space, or of the last test.

    Parameters
    ----------
    name
        The upstream, as the settings name it.
    model
        Its own name of the model; default: every one that a route names.
    against
        A model of this machine to compare with; default: the one that a route has beside it, in the
        same space.
    store
        File for the scores: they are compared with those of the last test, then kept.
    tolerance
        How far two scores of a pair may be apart.
    json
        Print JSON.
    config
        TOML file, as for `rerankd serve`.
    """
    plan, served = _plans(config)
    upstream = plan.upstreams.get(name)
    if upstream is None:
        raise StartError(f"No upstream is named {name!r}; there are {_names(plan)}.")
    models = (model,) if model else _models(plan, name)
    if not models:
        raise StartError(f"No route names a model of {name}: give one with --model.")
    before = _stored(store)
    beside = {each: in_space_of(plan.routes.values(), name, each) for each in models}
    results: list[Judged] = []
    for trial, others in asyncio.run(_trials(plan, name, beside)):
        local = against or next((t.model for t in beside[trial.model] if not t.upstream), None)
        last = before.get(f"{name}/{trial.model}")
        results.append(_judged(trial, local, served, last, others))
    if store is not None:
        kept = before | {f"{t.trial.upstream}/{t.trial.model}": t.trial for t in results}
        store.write_bytes(msgspec.json.format(msgspec.json.encode(kept)) + b"\n")
    if json:
        print(msgspec.json.format(msgspec.json.encode(results)).decode())
    else:
        _show(results)
        for result in results:
            for sentence in result.broken_claims(tolerance):
                print(sentence)
    if not all(result.is_good(tolerance) for result in results):
        sys.exit(1)


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """Another upstream's model that a route has in the same space."""

    target: str  # UPSTREAM/MODEL
    outcomes: tuple[str, ...]  # as a trial's
    apart: Difference | None  # None: it answered no query


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """A trial beside what it is compared with."""

    trial: Trial
    against: str | None  # the local model
    apart: Difference | None  # from the local model's scores
    tokens: int | None  # that it counted, of all queries
    our_tokens: int | None  # that the local model counts
    drift: Difference | None  # from the last test
    same_space: tuple[Claim, ...]

    def is_good(self, tolerance: float) -> bool:
        """Whether it answered all, close to what it is compared with."""
        apart = (self.apart, self.drift, *(claim.apart for claim in self.same_space))
        found = [each for each in apart if each is not None]
        return self.trial.is_ok and all(each.largest <= tolerance for each in found)

    def broken_claims(self, tolerance: float) -> Iterator[str]:
        """A sentence for each target whose scores are in no one space with these."""
        for claim in self.same_space:
            if claim.apart is None:
                yield f"{claim.target} shares its space and answered no query: not compared."
            elif claim.apart.largest > tolerance:
                yield (
                    f"{claim.target} and {self.trial.upstream}/{self.trial.model} share a space "
                    f"in a route, and their scores are up to {claim.apart.largest:.4f} apart "
                    f"(--tolerance {tolerance:g}): a threshold of one does not fit the other."
                )


async def _trials(
    plan: GatewayPlan, name: str, beside: Mapping[str, Sequence[RouteTarget]]
) -> list[tuple[Trial, list[Trial]]]:
    """Of each model of an upstream: its trial, and those of the upstreams beside it."""
    fleet = Fleet(_untold, user_agent=f"rerankd/{__version__}")
    fleet.use(plan)
    found: list[tuple[Trial, list[Trial]]] = []
    try:
        for model, targets in beside.items():
            trial = await try_out(fleet.upstreams[name], model)
            others = [
                await try_out(fleet.upstreams[target.upstream], target.model)
                for target in targets
                if target.upstream
            ]
            found.append((trial, others))
        return found
    finally:
        await fleet.close()


def _untold(_: str, __: Outcome, ___: float) -> None:
    """Nobody counts."""


def _judged(
    trial: Trial,
    local: str | None,
    served: ServingPlan,
    last: Trial | None,
    others: Sequence[Trial],
) -> Judged:
    ours: list[tuple[float, ...]] = []
    counted: list[int | None] = []
    if local is not None:
        spec = next((spec for spec in served.specs if spec.name == local), None)
        with Reranker(local) if spec is None else Reranker.of(load(spec)) as reranker:
            for each in golden():
                ranking = reranker.rerank(each.request())
                ours.append(in_order(ranking))
                counted.append(ranking.input_tokens)
    return Judged(
        trial=trial,
        against=local,
        apart=difference(trial.scores, ours),
        tokens=_sum(trial.tokens),
        our_tokens=_sum(counted) if counted else None,
        drift=difference(trial.scores, last.scores) if last is not None else None,
        same_space=tuple(
            Claim(
                target=f"{other.upstream}/{other.model}",
                outcomes=other.outcomes,
                apart=difference(trial.scores, other.scores),
            )
            for other in others
        ),
    )


def _show(results: Sequence[Judged]) -> None:
    table = _table("", *(f"{each.trial.upstream}/{each.trial.model}" for each in results))
    for name, *cells in zip(_ROWS, *map(_cells, results), strict=True):
        table.add_row(name, *cells)
    console().print(table)


_ROWS = (
    *("answered", "seconds", "dropped fields", "tokens", "local model", "its tokens"),
    *("scores differ", "since the last test", "others in its space"),
)


def _cells(result: Judged) -> tuple[str, ...]:
    """What a trial shows in each of _ROWS."""
    trial = result.trial
    return (
        ", ".join(dict.fromkeys(trial.outcomes)),
        f"median {statistics.median(trial.seconds):.3f}, most {max(trial.seconds):.3f}",
        ", ".join(trial.dropped) or "none",
        "not told" if result.tokens is None else str(result.tokens),
        result.against or "none",
        _counted(result),
        _apart(result.apart),
        _apart(result.drift),
        "; ".join(f"{claim.target}: {_apart(claim.apart)}" for claim in result.same_space)
        or "none",
    )


def _counted(result: Judged) -> str:
    if result.our_tokens is None:
        return ""
    if not result.tokens:
        return str(result.our_tokens)
    return f"{result.our_tokens} ({100 * (result.tokens / result.our_tokens - 1):+.1f} % billed)"


def _apart(found: Difference | None) -> str:
    if found is None:
        return "not compared"
    return f"at most {found.largest:.4f}, mean {found.mean:.4f}, order {found.order:.3f}"


def _sum(counts: Iterable[int | None]) -> int | None:
    total = 0
    for count in counts:
        if count is None:
            return None
        total += count
    return total


def _plans(config: Path | None) -> tuple[GatewayPlan, ServingPlan]:
    settings = effective(config=config).settings
    served = plan_of(settings)
    return gateway_of(settings, served), served


def _all(route: RoutedName) -> tuple[RouteTarget, ...]:
    return (*route.targets, *((route.shadow,) if route.shadow else ()))


def _models(plan: GatewayPlan, upstream: str) -> tuple[str, ...]:
    """The models of an upstream that routes name."""
    targets = (t for route in plan.routes.values() for t in _all(route) if t.upstream == upstream)
    return tuple(dict.fromkeys(target.model for target in targets))


def _stored(file: Path | None) -> dict[str, Trial]:
    if file is None or not file.exists():
        return {}
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Trial])
    except (OSError, msgspec.MsgspecError) as error:
        raise StartError(f"--store {file}: holds no tests of this program: {error}.") from None


def _names(plan: GatewayPlan) -> str:
    return ", ".join(plan.upstreams) or "none"


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
