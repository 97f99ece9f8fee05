"""`rerankd ray`: replicas on a cluster of Ray, by Serve's own API."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter
from rich.table import Table

from rerankd.adapters.ray.dashboard import Dashboard, deployed
from rerankd.adapters.ray.document import Application, Placement, document, joined
from rerankd.adapters.ray.node import NAME, digest_of, settings_of
from rerankd.cli.terminal import console
from rerankd.core.errors import StartError

_VARIABLE: Final = "RAY_DASHBOARD_ADDRESS"  # which `serve deploy` reads as well
_DEFAULT: Final = "http://127.0.0.1:8265"

At = Annotated[
    str | None,
    Parameter(help=f"URL of the cluster's dashboard; default: {_VARIABLE}, or {_DEFAULT}."),
]


def deploy(  # noqa: PLR0913 - each is a flag
    *,
    config: Path | None = None,
    replicas: int = 1,
    most: int | None = None,
    cpus: float = 1.0,
    gpus: float = 0.0,
    surge_percent: int = 25,
    dashboard: At = None,
    wait_s: float = 900.0,
    show: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Have Serve run replicas, or change them without a failed request.

    The cluster's nodes need the extra: pip install 'rerankd[ray]'.

    Parameters
    ----------
    config
        TOML file, as for `rerankd serve`, at the same path on every node.
    replicas
        How many; the least with --most.
    most
        Add replicas up to so many while work waits.
    cpus
        Cores of each replica.
    gpus
        GPUs of each replica.
    surge_percent
        How many more replicas an update may start before old ones end; 0 = old ones end first.
    dashboard
        URL of the cluster's dashboard.
    wait_s
        Seconds to wait until all replicas serve.
    show
        Print Serve's document and change nothing.
    """
    path = None if config is None else str(config.resolve())
    placement = Placement(
        config=path,
        digest=None if path is None else digest_of(path),
        replicas=_at_least(replicas, 1, "--replicas"),
        most=None if most is None else _at_least(most, replicas, "--most"),
        cpus=cpus,
        gpus=gpus,
        surge_percent=surge_percent,
    )
    ours = document(placement, settings_of(path, None, os.environ))
    if show:
        print(json.dumps(ours, indent=2))
        return
    cluster = Dashboard(dashboard or os.environ.get(_VARIABLE) or _DEFAULT)
    before = cluster.details()
    cluster.put(joined(ours, before))
    deployed(cluster, before, limit_s=wait_s, tell=_Steps())
    where = ours["http_options"]
    print(f"{NAME} serves on port {where['port']} of every node that has a replica.")


def status(*, dashboard: At = None) -> None:
    """Show the replicas; status 1 unless all serve.

    Parameters
    ----------
    dashboard
        URL of the cluster's dashboard.
    """
    cluster = Dashboard(dashboard or os.environ.get(_VARIABLE) or _DEFAULT)
    app = cluster.details().applications.get(NAME)
    if app is None:
        raise StartError("Nothing of rerankd is deployed: `rerankd ray deploy`.")
    table = Table("replica", "state", "node", "process", box=None)
    for deployment in app.deployments.values():
        for each in deployment.replicas:
            table.add_row(each.replica_id, each.state, each.node_ip or "", str(each.pid or ""))
    print(f"{app.status}: {_count(app)}")
    console().print(table)
    if app.status != "RUNNING":
        raise StartError(f"Serve says {app.status}: {app.why or 'no reason'}")


class _Steps:
    """Prints how far a deployment is, each time that it changes."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, app: Application) -> None:
        now = f"{app.status}: {_count(app)}"
        if now != self._last:
            print(now, flush=True)
        self._last = now


def _count(app: Application) -> str:
    """How many replicas there are in each state, and how many are wanted."""
    replicas = [each for one in app.deployments.values() for each in one.replicas]
    states = sorted({each.state for each in replicas})
    counts = [f"{sum(each.state == state for each in replicas)} {state}" for state in states]
    wanted = sum(each.target_num_replicas or 0 for each in app.deployments.values())
    return f"{', '.join(counts) or 'no replica'}, {wanted} wanted"


def _at_least(value: int, least: int, flag: str) -> int:
    """Raises StartError."""
    if value < least:
        raise StartError(f"{flag} {value}: at least {least}.")
    return value
