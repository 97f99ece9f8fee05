"""About how much memory a model will take, by the headers of its files: asked before it is loaded.

What an engine keeps for itself is a packed copy of the matrices; tables of embeddings are looked up
in the mapped file, whose pages the system may drop (docs/decisions/0010-weights-in-memory.md).
"""

from __future__ import annotations

import math
import re
from typing import Final

from rerankd.core.options import Precision, asked_precision
from rerankd.models.load import Spec
from rerankd.models.shipped import SHIPPED
from rerankd.models.weights import shapes_of

_PACKED: Final = 1.8  # private bytes for each of the matrices at the peak: decision 10, XLM-R base
_SHIPPED: Final = 2  # private bytes for each byte of the files of what ships inside, measured
_BYTES: Final[dict[Precision, int]] = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}
_LOOKED_UP: Final = re.compile(r"embed|lm_head")


def footprint_bytes(spec: Spec) -> int | None:
    """Private bytes of a loaded model, about; None = it may run on a device of its own.

    Reads headers of files.

    Raises:
        StartError: its files are missing or damaged.
    """
    if spec.folder is None:
        shipped = SHIPPED.get(spec.name)
        if shipped is None:
            return None
        with shipped.files() as folder:
            return _SHIPPED * sum(f.stat().st_size for f in folder.iterdir() if f.is_file())
    if spec.options.engine == "torch" and spec.options.device != "cpu":
        return None
    precision = asked_precision(spec.options)
    each = _BYTES["fp32" if precision in (None, "auto") else precision]
    numbers = sum(
        math.prod(shape)
        for name, shape in shapes_of(spec.folder).items()
        if len(shape) > 1 and not _LOOKED_UP.search(name)
    )
    return int(_PACKED * each * numbers)
