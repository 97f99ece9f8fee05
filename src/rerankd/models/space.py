"""The score space of a loaded model: scores of one space may be compared, of two never."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from rerankd.core.options import PromptName
from rerankd.models.activation import SIGMOID
from rerankd.models.base import AnyModel
from rerankd.models.colbert_folder import METADATA
from rerankd.models.folder_word import read_word

_SAMPLES: Final = 16  # of a file of weights
_SAMPLE_BYTES: Final = 4096
_DIGITS: Final = 7


def space_of(model: AnyModel, folder: Path | None, prompt: PromptName | None = None) -> str:
    """NAME@REVISION/RECIPE/PRECISION.

    Args:
        model: as it was loaded.
        folder: where it came from; None = it ships inside. A snapshot of the hub is named after its
            commit; of another folder the revision is a digest of its configuration and of samples
            of its weights, those of its modules included.
        prompt: the operator's choice for a decoder; None = the folder's or the catalog's.

    Raises:
        OSError: the folder cannot be read.
    """
    card, info = model.card, model.engine.info
    revision = card.revision or (_revision(folder) if folder is not None else "")
    recipe = f"{card.family.name}-{card.window_tokens}" if card.window_tokens else card.family.name
    if prompt is not None:
        recipe += f"-{prompt}"
    if card.activation != SIGMOID:
        recipe += f"-{card.activation.name}"
    return f"{card.name}@{revision}/{recipe}/{info.precision}"


def _revision(folder: Path) -> str:
    if folder.parent.name == "snapshots":
        return folder.name[:_DIGITS]
    digest = hashlib.sha256()
    for path in _files(folder):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder)} {size}".encode())
        with path.open("rb") as file:
            for sample in range(_SAMPLES):
                file.seek(size * sample // _SAMPLES)
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()[:_DIGITS]


def _files(folder: Path) -> list[Path]:
    """Of the folder and of its modules: all that a score may depend on."""
    paths = [Path(module.path) for module in read_word(folder).modules]
    inside = [path for path in paths if not path.is_absolute() and ".." not in path.parts]
    found = {
        path
        for place in (folder, *(folder / path for path in inside))
        for pattern in ("*.json", "*.safetensors", "*.jinja", METADATA)
        for path in place.glob(pattern)
    }
    return sorted(found)
