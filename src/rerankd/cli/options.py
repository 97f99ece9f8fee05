"""A model and its settings as they are written at the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from rerankd.core.errors import StartError
from rerankd.models.load import Spec, resolve
from rerankd.settings.schema import ModelSettings


def split(written: str) -> tuple[str, str]:
    """A model's name, folder or NAME=FOLDER, and the settings after its first comma.

    A folder with a comma in its name stays whole.
    """
    if any(Path(folder).expanduser().is_dir() for folder in (written, written.partition("=")[2])):
        return written, ""
    name, _, settings = written.partition(",")
    return name, settings


def model_spec(written: str, flag: str = "--model") -> Spec:
    """A model as it is written at the command line: NAME or NAME,setting=value,… .

    Raises:
        StartError: the model cannot be found, or a setting is unknown or wrong.
    """
    name, settings = split(written)
    return spec(name, settings, f"{flag} {written}")


def spec(model: str, written: str, flag: str) -> Spec:
    """A model and its settings, as `name=value,name=value`.

    Args:
        model: catalog name or checkpoint folder.
        written: the settings; empty = the defaults.
        flag: what the operator wrote, for the error.

    Raises:
        StartError: the model cannot be found, or a setting is unknown or wrong.
    """
    settings = msgspec.convert(model_settings(written, flag), ModelSettings)
    return resolve(model, settings.load_options())


def model_settings(written: str, flag: str) -> dict[str, Any]:
    """Settings of a model, each with its type. Raises StartError."""
    parts = [part.partition("=") for part in written.split(",") if part]
    values = {name.strip(): value.strip() for name, _, value in parts}
    try:
        found = msgspec.convert(values, ModelSettings, strict=False)
    except msgspec.ValidationError as error:
        raise StartError(f"{flag}: {error}.") from None
    return {name: value for name, value in msgspec.to_builtins(found).items() if name in values}
