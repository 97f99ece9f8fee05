"""The flags that several commands share, and the settings that come of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from rerankd.core.errors import StartError
from rerankd.models.load import Spec, resolve
from rerankd.settings import Effective, ModelSettings, load, parse_aliases

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


def spec(model: str, written: str, flag: str) -> Spec:
    """A model and its settings, as `name=value,name=value`.

    Args:
        model: catalog name or checkpoint folder.
        written: the settings; empty = the defaults.
        flag: what the operator wrote, for the error.

    Raises:
        StartError: the model cannot be found, or a setting is unknown or wrong.
    """
    parts = [part.partition("=") for part in written.split(",") if part]
    values = {name.strip(): value.strip() for name, _, value in parts}
    try:
        settings = msgspec.convert(values, ModelSettings, strict=False)
    except msgspec.ValidationError as error:
        raise StartError(f"{flag}: {error}.") from None
    return resolve(model, settings.load_options())
