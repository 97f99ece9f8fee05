"""Golden logits of decoders as sentence-transformers writes them, by its CrossEncoder in fp32.

`python -m tests.reference.make_logit_score_goldens` writes golden-logit-score.json (needs torch
2.13.0, transformers 5.24.0 and sentence-transformers 6.2.0). Nothing here uses rerankd: the library
reads the folder, renders its chat template, and scores every pair alone.
"""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import Any, Final

from tests.checkpoints.logit_score import CLASSIFIERS, LOGIT_SCORES, Form, write
from tests.reference.make_decoder_goldens import Item, items
from tests.reference.make_goldens import save

GOLDEN: Final = Path(__file__).parent / "golden-logit-score.json"
WINDOW_TOKENS: Final = 512
# Longer than any pair: what the library does with a longer one is another rule than ours where the
# query stands behind the document, or where there is no template (longest_first).
WIDE_TOKENS: Final = 8192
FORMS: Final = {
    **LOGIT_SCORES,
    **{f"{name}-classifier": each for name, each in CLASSIFIERS.items()},
}
CUT_ALIKE: Final = ("qwen3", "r3", "zerank", "qwen3-classifier")


def window(name: str) -> int:
    """The window that a folder's pairs are cut to."""
    return WINDOW_TOKENS if name in CUT_ALIKE else WIDE_TOKENS


class Reference:
    """sentence-transformers' CrossEncoder of one folder."""

    def __init__(self, folder: Path, form: Form, max_length: int) -> None:
        torch: Any = importlib.import_module("torch")
        library: Any = importlib.import_module("sentence_transformers")
        self._identity: Any = torch.nn.Identity()
        self._form = form
        self.model: Any = library.CrossEncoder(
            str(folder),
            local_files_only=True,
            device="cpu",
            max_length=max_length,
            model_kwargs={"dtype": "float32"},
        )

    def ids(self, item: Item) -> list[int]:
        """What the model reads."""
        made: Any = self.model[0].preprocess(
            [(item["query"], item["document"])], prompt=self._prompt(item)
        )
        return made["input_ids"][0].tolist()

    def logit(self, item: Item) -> float:
        """One pair, alone; of two labels the second minus the first."""
        return self.score(item, self._identity)

    def score(self, item: Item, activation: object = None) -> float:
        """With an activation, or the folder's own."""
        found: Any = self.model.predict(
            [(item["query"], item["document"])],
            prompt=self._prompt(item),
            activation_fn=activation,
            show_progress_bar=False,
        )[0]
        return float(found[1] - found[0]) if self._form.shape.labels > 1 else float(found)

    def _prompt(self, item: Item) -> str | None:
        """An instruction, or the folder's default, if it has one."""
        return item["instruction"] or self._form.prompts.get(self._form.default_prompt or "")


def golden(name: str, form: Form) -> list[float]:
    """All golden logits of one folder."""
    with tempfile.TemporaryDirectory() as folder:
        reference = Reference(write(Path(folder), form), form, window(name))
        return [reference.logit(item) for item in items_of(name)]


def items_of(name: str) -> list[Item]:
    """The pairs; without instructions where the template has no place for one."""
    if name != "zerank":
        return items()
    return [{**item, "instruction": None} for item in items()]


def main() -> None:
    """Write golden-logit-score.json."""
    save(GOLDEN, {name: golden(name, form) for name, form in FORMS.items()})


if __name__ == "__main__":
    main()
