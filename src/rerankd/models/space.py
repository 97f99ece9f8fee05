"""The score space of a loaded model: scores of one space may be compared, of two never."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from rerankd.models.activation import SIGMOID
from rerankd.models.base import AnyModel

_SAMPLES: Final = 16  # of a file of weights
_SAMPLE_BYTES: Final = 4096
_DIGITS: Final = 7


def space_of(model: AnyModel, folder: Path | None) -> str:
    """NAME@REVISION/RECIPE/PRECISION.

    Args:
        model: as it was loaded.
        folder: where it came from; None = it ships inside. A snapshot of the hub is named after its
            commit; of another folder the revision is a digest of its configuration and of samples
            of its weights.

    Raises:
        OSError: the folder cannot be read.
    """
    card, info = model.card, model.engine.info
    revision = card.revision or (_revision(folder) if folder is not None else "")
    recipe = f"{card.family.name}-{card.window_tokens}" if card.window_tokens else card.family.name
    if card.activation != SIGMOID:
        recipe += f"-{card.activation.name}"
    return f"{card.name}@{revision}/{recipe}/{info.precision}"


def _revision(folder: Path) -> str:
    if folder.parent.name == "snapshots":
        return folder.name[:_DIGITS]
    digest = hashlib.sha256()
    for path in sorted((*folder.glob("*.json"), *folder.glob("*.safetensors"))):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}".encode())
        with path.open("rb") as file:
            for sample in range(_SAMPLES):
                file.seek(size * sample // _SAMPLES)
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()[:_DIGITS]
