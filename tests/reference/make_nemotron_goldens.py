"""Golden logits of a bidirectional Llama by transformers' LlamaModel on the CPU in fp32.

`python -m tests.reference.make_nemotron_goldens` writes golden-nemotron.json (needs torch 2.13.0
and transformers 5.24.0). Nothing here uses rerankd: `is_causal` false makes the model's mask
bidirectional, and mean, head and temperature are written out as in NeMo Automodel's
llama_bidirectional/model.py.
"""

from __future__ import annotations

import importlib
import json
import tempfile
from pathlib import Path
from typing import Any, Final

from tests.checkpoints.logit_score import write_nemotron
from tests.reference.make_goldens import Pair, pairs, save

GOLDEN: Final = Path(__file__).parent / "golden-nemotron.json"
WINDOW_TOKENS: Final = 512


class Reference:
    """transformers' tokenizer and model of one folder, and the head."""

    def __init__(self, folder: Path, *, is_causal: bool = False) -> None:
        self._torch: Any = importlib.import_module("torch")
        transformers: Any = importlib.import_module("transformers")
        safetensors: Any = importlib.import_module("safetensors.torch")
        self._torch.set_grad_enabled(False)
        self.tokenizer: Any = transformers.PreTrainedTokenizerFast(
            tokenizer_file=str(folder / "tokenizer.json")
        )
        raw = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self._temperature: float = raw.pop("temperature")
        for key in ("architectures", "model_type", "auto_map", "pooling", "id2label"):
            raw.pop(key)
        config = transformers.LlamaConfig(**raw)
        config.is_causal = is_causal
        tensors = safetensors.load_file(folder / "model.safetensors")
        self._score: Any = tensors.pop("score.weight")
        self._model: Any = transformers.LlamaModel(config).eval()
        names = {name.removeprefix("model."): tensor for name, tensor in tensors.items()}
        self._model.load_state_dict(names, strict=True)

    def ids(self, pair: Pair) -> list[int]:
        """A row, cut on the right."""
        text = f"question:{pair['query']} \n \n passage:{pair['document']}"
        return self.tokenizer(text)["input_ids"][:WINDOW_TOKENS]

    def logit(self, pair: Pair) -> float:
        """One pair, alone."""
        ids = self._torch.tensor([self.ids(pair)])
        states = self._model(input_ids=ids, attention_mask=self._torch.ones_like(ids))[0]
        logit = states[0].mean(dim=0) @ self._score[0] / self._temperature
        return float(logit)


def main() -> None:
    """Write golden-nemotron.json."""
    with tempfile.TemporaryDirectory() as folder:
        reference = Reference(write_nemotron(Path(folder)))
        save(GOLDEN, {"pairs": [reference.logit(pair) for pair in pairs()]})


if __name__ == "__main__":
    main()
