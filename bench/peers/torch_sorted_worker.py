"""What a careful user writes on torch, fp32 and SDPA: `FOLDER`.

Sorted by length, in padded batches of at most 1024 tokens.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import worker

BATCH_TOKENS = 1024


def load() -> worker.Score:
    """The model in fp32."""
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(worker.cores())
    transformers: Any = importlib.import_module("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(sys.argv[1])
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        sys.argv[1], attn_implementation="sdpa", dtype=torch.float32
    ).eval()

    @torch.inference_mode()
    def score(query: str, documents: Sequence[str]) -> Sequence[float]:
        encoded = tokenizer([query] * len(documents), list(documents), truncation=True)
        lengths = [len(ids) for ids in encoded["input_ids"]]
        scores = [0.0] * len(documents)
        batch: list[int] = []
        order = sorted(range(len(documents)), key=lambda i: lengths[i])
        for place, i in enumerate(order):
            batch.append(i)
            following = order[place + 1] if place + 1 < len(order) else None
            if following is None or (len(batch) + 1) * lengths[following] > BATCH_TOKENS:
                rows = {name: [encoded[name][j] for j in batch] for name in encoded}
                out = model(**tokenizer.pad(rows, return_tensors="pt")).logits
                for j, row in zip(batch, out[:, 0].tolist(), strict=True):
                    scores[j] = row
                batch = []
        return scores

    return score


worker.run(load)
