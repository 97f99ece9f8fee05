"""Golden logits of the tiny GTEs, by torch and transformers in fp32.

`python -m tests.reference.make_gte_goldens` writes golden-gte.json (needs torch 2.13 and
transformers 5.24). As make_goldens: one by one, and nothing here uses rerankd. Transformers reads
the published tensors, but not the published config.json (model_type "new"): it gets the same sizes
in its own form.
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

from tests.checkpoints.gte import GOLDEN_SHAPES, Shape, write
from tests.reference.make_goldens import Golden, Reference, golden, save

GOLDEN = Path(__file__).parent / "golden-gte.json"


def write_readable(folder: Path, shape: Shape) -> Path:
    """The checkpoint with a config.json that transformers reads."""
    return write(folder, dataclasses.replace(shape, is_published=False))


def reference(folder: Path, shape: Shape) -> Reference:
    """transformers on such a folder."""
    return Reference(write_readable(folder, shape))


def main() -> None:
    """Write golden-gte.json."""
    found: dict[str, Golden] = {}
    for name, shape in GOLDEN_SHAPES.items():
        with tempfile.TemporaryDirectory() as folder:
            found[name] = golden(write_readable(Path(folder), shape))
    save(GOLDEN, found)


if __name__ == "__main__":
    main()
