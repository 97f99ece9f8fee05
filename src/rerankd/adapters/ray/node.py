"""What a node must have, and what of it is not the deployer's: its file and its environment."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rerankd.core.errors import StartError
from rerankd.settings.load import load
from rerankd.settings.schema import Settings

NAME: Final = "rerankd"  # of the deployment
# More than ever come at once: who waits, and who is refused, is for rerankd's own limits to say.
ONGOING: Final = 100_000
HAPROXY: Final = "RAY_SERVE_ENABLE_HA_PROXY"


def check_node(env: Mapping[str, str]) -> None:
    """Raises StartError: Serve would put its proxy between callers and the app."""
    if env.get(HAPROXY) != "1":
        raise StartError(
            f"Start every node of the cluster with {HAPROXY}=1 in the environment of `ray start`: "
            "through Serve's own proxy a request costs about ten times as much CPU, and its "
            "time-outs and ids are Serve's."
        )


def digest_of(config: str) -> str:
    """The first 16 hex digits of a file's SHA-256. Raises StartError."""
    try:
        return hashlib.sha256(Path(config).read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise StartError(f"Cannot read {config}: {error.strerror or error}.") from None


def settings_of(config: str | None, digest: str | None, env: Mapping[str, str]) -> Settings:
    """The settings of a replica: its node's file and environment.

    Args:
        config: path of the file; None = none.
        digest: of the file that was deployed; None = whatever is there.
        env: of the process.

    Raises:
        StartError: they cannot be used, or the file is another than was deployed.
    """
    if config is not None and digest is not None and (found := digest_of(config)) != digest:
        raise StartError(
            f"{config} on this node is another file (digest {found}) than was deployed ({digest}). "
            "Bring it to every node, then `rerankd ray deploy` again."
        )
    return load(None if config is None else Path(config), env, {}).settings
