"""Golden logits of decoders whose prompt is only known by their name, by transformers in fp32.

`python -m tests.reference.make_named_goldens` writes golden-named.json (needs torch 2.13.0 and
transformers 5.24.0). Nothing here uses rerankd: token ids are put together as each publisher's own
code does, and every row goes alone through the whole model.
"""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import Any, Final

from tests.checkpoints.logit_score import BARE, write_bare
from tests.reference.make_decoder_goldens import Item, items
from tests.reference.make_goldens import save

GOLDEN: Final = Path(__file__).parent / "golden-named.json"
GEMMA_PROMPT: Final = (
    "Given a query A and a passage B, determine whether the passage contains an answer to the "
    "query by providing a prediction of either 'Yes' or 'No'."
)


class Reference:
    """transformers' tokenizer and model of one folder, and the code of its publisher."""

    def __init__(self, folder: Path, name: str) -> None:
        self._torch: Any = importlib.import_module("torch")
        transformers: Any = importlib.import_module("transformers")
        self._torch.set_grad_enabled(False)
        self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
        self._model: Any = model.eval()
        self._name = name

    def _apart(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def ids(self, item: Item) -> list[int]:
        """A row.

        Sources: FlagEmbedding 1.4.2, inference/reranker/decoder_only/base.py; zeroentropy/zerank-1,
        modeling_zeranker.py; the card of ctxl-rerank-v2-instruct-multilingual-6b.
        """
        query, document, asked = item["query"], item["document"], item["instruction"]
        if self._name == "bge-gemma":
            parts = (f"A: {query}", "\n", f"B: {document}", "\n", asked or GEMMA_PROMPT)
            return [self.tokenizer.bos_token_id, *(i for part in parts for i in self._apart(part))]
        if self._name == "zerank":
            query, document = query.strip(), document.strip()
            if asked:
                query = f"<query>{query}</query>\n<instruction>{asked}</instruction>"
            return self._apart(
                f"<|im_start|>system\n{query}<|im_end|>\n<|im_start|>user\n{document}<|im_end|>\n"
                "<|im_start|>assistant\n"
            )
        instruction = f" {asked}" if asked else ""
        return self.tokenizer(
            "Check whether a given document contains information helpful to answer the query.\n"
            f"<Document> {document}\n<Query> {query}{instruction} ??"
        )["input_ids"]

    def logit(self, item: Item) -> float:
        """At the last position of one row, by the whole model and its whole head."""
        answer = 0 if self._name == "contextual" else self._apart("Yes")[0]
        ids = self._torch.tensor([self.ids(item)])
        return float(self._model(input_ids=ids, logits_to_keep=1).logits[0, -1, answer])


def golden(name: str) -> list[float]:
    """All golden logits of one folder."""
    with tempfile.TemporaryDirectory() as folder:
        reference = Reference(write_bare(Path(folder), name), name)
        return [reference.logit(item) for item in items()]


def main() -> None:
    """Write golden-named.json."""
    save(GOLDEN, {name: golden(name) for name in BARE})


if __name__ == "__main__":
    main()
