"""The flags that several commands share, and the settings that come of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from rerankd.settings import Effective, load, parse_aliases

ModelFlag = Annotated[list[str] | None, Parameter(name="--model", negative=())]
AliasFlag = Annotated[list[str] | None, Parameter(name="--alias", negative=())]


def effective(
    *,
    config: Path | None,
    host: str | None = None,
    port: int | None = None,
    model: list[str] | None = None,
    alias: list[str] | None = None,
) -> Effective:
    """The settings in force. Raises StartError."""
    flags: dict[tuple[str, ...], Any] = {}
    if host is not None:
        flags["server", "host"] = host
    if port is not None:
        flags["server", "port"] = port
    if model:
        flags[("models",)] = list(model)
    if alias:
        flags[("aliases",)] = parse_aliases(alias)
    if config is None and os.environ.get("RERANKD_CONFIG"):
        config = Path(os.environ["RERANKD_CONFIG"])
    return load(config, os.environ, flags)
