"""Libraries that only an extra of the package installs."""

from __future__ import annotations

import importlib
from typing import Any

from rerankd.core.errors import StartError

EVAL = "pip install 'rerankd[eval]'"


def library(name: str) -> Any:
    """A module of the extra `eval`: ir_measures, scipy.stats, matplotlib.

    Raises:
        StartError: it is not installed; the message has the command.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        package = name.partition(".")[0]
        if (error.name or "").partition(".")[0] != package:
            raise
        raise StartError(f"This needs {package}, which is not installed: {EVAL}.") from error
