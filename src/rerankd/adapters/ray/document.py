"""What Serve is told to run, and what it says of it: plain data, without Ray. Pure.

The document is the one that Serve's REST API, `serve deploy` and KubeRay's `serveConfigV2` take.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from rerankd.adapters.ray.node import NAME
from rerankd.core.errors import StartError
from rerankd.settings.schema import Settings

_BUILDER: Final = "rerankd.adapters.ray.replica:application"
_EDGE: Final = "rerankd.adapters.ray.edge:middlewares"
_POLICY: Final = "rerankd.adapters.ray.scaling:ByWork"
_DRAINING_S: Final = 30.0  # for which Serve keeps a replica reachable that is to stop
_GOODBYE_S: Final = 15.0  # for it to bring the last rows into the store and free its models


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator asks for."""

    config: str | None  # path of the settings' file, on every node
    digest: str | None  # of that file
    replicas: int = 1  # the least, when there may be more
    most: int | None = None  # None = always `replicas`
    cpus: float = 1.0  # of each
    gpus: float = 0.0
    surge_percent: int = 25  # replicas beyond the target during an update; 0 = old ones end first


def application(placement: Placement, settings: Settings) -> dict[str, Any]:
    """The entry of rerankd in Serve's document."""
    limits = settings.limits
    longest_s = limits.body_s + limits.deadline_s + limits.write_s
    deployment: dict[str, Any] = {
        "name": NAME,
        "max_surge_percent": placement.surge_percent,
        "health_check_period_s": 5,
        "health_check_timeout_s": 30,
        "graceful_shutdown_timeout_s": _DRAINING_S + longest_s + _GOODBYE_S,
        "ray_actor_options": {"num_cpus": placement.cpus, "num_gpus": placement.gpus},
    }
    if placement.most is None:
        deployment["num_replicas"] = placement.replicas
    else:
        deployment["autoscaling_config"] = {
            "min_replicas": placement.replicas,
            "max_replicas": placement.most,
            "policy": {"policy_function": _POLICY},
        }
    return {
        "name": NAME,
        "route_prefix": "/",
        "import_path": _BUILDER,
        "args": {"config": placement.config, "digest": placement.digest},
        "runtime_env": {
            "env_vars": {
                "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": _EDGE,
                "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
            }
        },
        "deployments": [deployment],
    }


def document(placement: Placement, settings: Settings) -> dict[str, Any]:
    """The whole document, for a cluster that runs nothing else."""
    return {
        "proxy_location": "EveryNode",
        "http_options": {"host": settings.server.host, "port": settings.server.port},
        "logging_config": {"enable_access_log": False},
        "applications": [application(placement, settings)],
    }


class ShownReplica(msgspec.Struct, frozen=True):
    """As Serve shows it."""

    replica_id: str
    state: str
    node_ip: str | None = None
    pid: int | None = None


class Deployment(msgspec.Struct, frozen=True):
    """As Serve shows it."""

    status: str
    message: str = ""
    target_num_replicas: int | None = None
    replicas: tuple[ShownReplica, ...] = ()


class Application(msgspec.Struct, frozen=True):
    """As Serve shows it."""

    status: str
    message: str = ""
    last_deployed_time_s: float = 0.0
    deployed_app_config: dict[str, Any] | None = None
    deployments: dict[str, Deployment] = {}

    @property
    def why(self) -> str:
        """What Serve says of it and of its deployments, once each."""
        said = [self.message, *(each.message for each in self.deployments.values())]
        return " ".join(dict.fromkeys(sentence.strip() for sentence in said if sentence))


class Address(msgspec.Struct, frozen=True):
    """Where Serve listens."""

    host: str | None = None
    port: int | None = None


class Details(msgspec.Struct, frozen=True):
    """What GET /api/serve/applications/ says; other fields are not read."""

    applications: dict[str, Application] = {}
    http_options: Address | None = None


def joined(ours: Mapping[str, Any], now: Details) -> dict[str, Any]:
    """The document with the cluster's other applications: what is not in it, Serve ends.

    Raises:
        StartError: Serve listens elsewhere already, which it does until it is shut down.
    """
    others = [
        app.deployed_app_config
        for name, app in now.applications.items()
        if name != NAME and app.deployed_app_config is not None
    ]
    wanted = ours["http_options"]
    there = now.http_options
    if there is not None and (there.host, there.port) != (wanted["host"], wanted["port"]):
        raise StartError(
            f"Serve listens on {there.host}:{there.port} in this cluster and cannot move: set "
            f"server.host and server.port to that, or `serve shutdown` first."
        )
    return {**ours, "applications": [*others, *ours["applications"]]}
