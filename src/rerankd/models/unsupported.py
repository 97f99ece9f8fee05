"""What a config.json asks for and no engine computes: all of it is named at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rerankd.core.errors import StartError
from rerankd.models.folder_file import printable


def refuse_unsupported(config: Path, wrong: Mapping[str, bool]) -> None:
    """Refuse a checkpoint that asks for more than is there.

    Args:
        config: its config.json.
        wrong: what it may ask for, in the operator's words -> whether it does.

    Raises:
        StartError: it does; the message lists everything.
    """
    found = [printable(what) for what, is_wrong in wrong.items() if is_wrong]
    if found:
        raise StartError(f"{config} is not supported: {'; '.join(found)}.")
