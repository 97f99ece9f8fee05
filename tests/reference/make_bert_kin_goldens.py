"""Golden logits of tiny ELECTRAs, DistilBERTs and CamemBERTs, by torch and transformers in fp32.

`python -m tests.reference.make_bert_kin_goldens` writes golden-bert-kin.json (needs torch 2.13 and
transformers 5.24). As make_goldens: one by one, and nothing here uses rerankd.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.checkpoints.bert_kin import GOLDEN_SHAPES, write
from tests.reference.make_goldens import Golden, golden, save

GOLDEN = Path(__file__).parent / "golden-bert-kin.json"


def main() -> None:
    """Write golden-bert-kin.json."""
    found: dict[str, Golden] = {}
    for name, shape in GOLDEN_SHAPES.items():
        with tempfile.TemporaryDirectory() as folder:
            found[name] = golden(write(Path(folder), shape))
    save(GOLDEN, found)


if __name__ == "__main__":
    main()
