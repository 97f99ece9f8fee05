"""Libraries that only an extra of the package installs."""

from __future__ import annotations

import importlib
from typing import Any

from rerankd.core.errors import StartError

EVAL = "pip install 'rerankd[eval]'"
TORCH = "pip install 'rerankd[torch]'"
STORE = "pip install 'rerankd[store]'"
POSTGRESQL = "pip install 'rerankd[postgresql]'"
OTEL = "pip install 'rerankd[otel]'"
EXPORT = "pip install 'rerankd[export]'"
PARQUET = "pip install 'rerankd[parquet]'"
OIDC = "pip install 'rerankd[oidc]'"
RAY = "pip install 'rerankd[ray]'"


def library(name: str, command: str = EVAL) -> Any:
    """A module of an extra: ir_measures, matplotlib; PIL, av; sqlalchemy, joserfc; ray.serve.

    Args:
        name: the module.
        command: installs the extra that has it.

    Raises:
        StartError: it is not installed; the message has the command.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        package = name.partition(".")[0]
        if (error.name or "").partition(".")[0] != package:
            raise
        raise StartError(f"This needs {package}, which is not installed: {command}.") from error
