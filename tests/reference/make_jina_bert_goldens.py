"""Golden logits of the tiny JinaBERTs, by the publisher's steps written out in torch.

`python -m tests.reference.make_jina_bert_goldens` writes golden-jina-bert.json (needs torch 2.13
and transformers 5.24, whose tokenizer it uses). No package has the model: its code comes with the
weights. As make_goldens: one by one, and nothing here uses rerankd; in float64, all tokens in all
layers.
Sources: jinaai/jina-bert-implementation, modeling_bert.py; the halved slopes at second hand, as
models/jina_bert_fields.py says.
"""

from __future__ import annotations

import importlib
import json
import math
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.checkpoints.jina_bert import GOLDEN_SHAPES, OWN, write
from tests.reference.make_goldens import (
    Golden,
    Reference,
    long_documents,
    long_pairs,
    pairs,
    save,
)

GOLDEN = Path(__file__).parent / "golden-jina-bert.json"


def head_slopes(heads: int) -> list[float]:
    """As the paper has them: for other counts than powers of two every second one of twice."""
    if math.log2(heads).is_integer():
        start = 2 ** (-(2 ** -(math.log2(heads) - 3)))
        return [start * start**i for i in range(heads)]
    lower = 2 ** math.floor(math.log2(heads))
    return head_slopes(lower) + head_slopes(2 * lower)[0::2][: heads - lower]


class WrittenOut:
    """The model of a folder as a function of token ids; attributes may make it another one."""

    is_symmetric = True  # False: only tokens before count as distant
    is_swapped = False  # True: the second half of the gated layer is the gate

    def __init__(self, folder: Path) -> None:
        self.torch: Any = importlib.import_module("torch")
        files: Any = importlib.import_module("safetensors.torch")
        self.config: dict[str, Any] = json.loads((folder / "config.json").read_text())
        loaded = files.load_file(folder / "model.safetensors")
        self.tensors = {name: tensor.double() for name, tensor in loaded.items()}
        self.slopes = head_slopes(self.config["num_attention_heads"])
        if self.config["auto_map"]["AutoModelForSequenceClassification"] == OWN:
            self.slopes[8:] = [slope / 2 for slope in self.slopes[8:]]

    def __call__(self, input_ids: Any, token_type_ids: Any = None, **_: Any) -> Any:
        """Logits of one row, (1, K)."""
        ids = input_ids[0]
        types = self.torch.zeros_like(ids) if token_type_ids is None else token_type_ids[0]
        tables = "bert.embeddings.word_embeddings.weight", "bert.embeddings.token_type_embeddings"
        x = self.tensors[tables[0]][ids] + self.tensors[f"{tables[1]}.weight"][types]
        x = self._norm(x, "bert.embeddings.LayerNorm")
        for layer in range(self.config["num_hidden_layers"]):
            block = f"bert.encoder.layer.{layer}"
            mixed = self._attention(x, f"{block}.attention.self")
            mixed = self._linear(mixed, f"{block}.attention.output.dense")
            x = self._norm(mixed + x, f"{block}.attention.output.LayerNorm")
            x = self._norm(self._gated(x, f"{block}.mlp") + x, f"{block}.mlp.layernorm")
        pooled = self.torch.tanh(self._linear(x[0], "bert.pooler.dense"))
        return SimpleNamespace(logits=self._linear(pooled, "classifier")[None])

    def _linear(self, x: Any, name: str) -> Any:
        return x @ self.tensors[f"{name}.weight"].T + self.tensors[f"{name}.bias"]

    def _norm(self, x: Any, name: str) -> Any:
        centred = x - x.mean(-1, keepdim=True)
        spread = (centred.square().mean(-1, keepdim=True) + self.config["layer_norm_eps"]).sqrt()
        return centred / spread * self.tensors[f"{name}.weight"] + self.tensors[f"{name}.bias"]

    def _gated(self, x: Any, name: str) -> Any:
        both = x @ self.tensors[f"{name}.gated_layers.weight"].T
        gate, up = both.chunk(2, dim=-1)
        if self.is_swapped:
            gate, up = up, gate
        functional = self.torch.nn.functional
        act = {"geglu": functional.gelu, "reglu": functional.relu}
        return self._linear(act[self.config["feed_forward_type"]](gate) * up, f"{name}.wo")

    def _attention(self, x: Any, name: str) -> Any:
        places = self.torch.arange(len(x))
        distance = places[:, None] - places[None, :]
        distance = distance.abs() if self.is_symmetric else distance.clamp(min=0)
        q, k, v = (self._linear(x, f"{name}.{part}") for part in ("query", "key", "value"))
        d = q.shape[1] // len(self.slopes)
        mixed: list[Any] = []
        for head, slope in enumerate(self.slopes):
            one = slice(head * d, (head + 1) * d)
            scores = q[:, one] @ k[:, one].T / math.sqrt(d) - slope * distance
            mixed.append(scores.softmax(-1) @ v[:, one])
        return self.torch.cat(mixed, dim=-1)


class JinaReference(Reference):
    """The model written out, behind transformers' tokenizer."""

    def __init__(self, folder: Path) -> None:
        transformers: Any = importlib.import_module("transformers")
        self._torch = importlib.import_module("torch")
        self._torch.set_grad_enabled(False)
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.model = WrittenOut(folder)
        self._model = self.model


def main() -> None:
    """Write golden-jina-bert.json."""
    found: dict[str, Golden] = {}
    for name, shape in GOLDEN_SHAPES.items():
        with tempfile.TemporaryDirectory() as folder:
            reference = JinaReference(write(Path(folder), shape))
            found[name] = {
                "pairs": reference.pairs(pairs()),
                "long": reference.pairs(long_pairs()),
                "chunks": [reference.chunks(item) for item in long_documents()],
            }
    save(GOLDEN, found)


if __name__ == "__main__":
    main()
