"""Measure ranges.safetensors of a built model: what the inputs of its encoder's layers are.

    python training/measure_ranges.py --train DIR --model mini --folder src/rerankd/builtin/mini
    python training/measure_ranges.py --train DIR --model multi --folder \
        packages/rerankd-multi/src/rerankd_multi/model

--train: a folder of <name>/pairs.jsonl.gz. --folder: what build_mini.py or build_multi.py made; its
  config.json then names the new file.

Of each set as many passages, and a quarter as many queries, are encoded as the model encodes them,
with inputs rounded by groups. Kept are the lowest, the highest and the mean value of every input.
The same input gives the same bytes on the same kind of CPU.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from common import read_pairs
from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType]

from rerankd.core.rows import Row
from rerankd.engines.encoder import WORDS, EncoderConfig, range_shapes
from rerankd.engines.openvino import blocks
from rerankd.engines.openvino.compilation import compile_graph
from rerankd.engines.openvino.runtime import Node
from rerankd.engines.openvino.token_encoder import INT8_GROUP, build
from rerankd.engines.pack import pack
from rerankd.models.builtin_files import CONFIG, RANGES, Folder, Sizes, Tensors
from rerankd.models.tokenizer_file import read_any_tokenizer

ENGLISH = (
    *("squad-sent-dev", "squad-sent-test", "qed-nq", "medquad", "powershell-docs", "covidqa"),
    "banking77",
)
OTHERS = (
    *("tldr-de", "tldr-es", "tldr-fr", "tldr-pt_BR", "tldr-ru", "tldr-ko", "cmrc2018-trial"),
    *("jsquad-test", "iapp-th-train", "drcd-dev", "jaquad-train"),
)
PASSAGES = 16  # per set
PROMPTS = {"mini": ("", ""), "multi": ("query: ", "passage: ")}
ENDS = {"mini": ("[CLS]", "[SEP]"), "multi": ("<s>", "</s>")}


class Encoding:
    """A model's encoder, whose layers' inputs are seen."""

    def __init__(self, model: str, path: Path) -> None:
        fields = json.loads((path / CONFIG).read_bytes())
        self._sizes: EncoderConfig = Sizes(**fields["encoder"]).encoder()
        self._pieces: int = fields["window_pieces"]
        tensors = Tensors(Folder(path, "build it again."))
        self._words = tensors.four_bits(WORDS) if model == "multi" else None
        self._tokenizer, _ = read_any_tokenizer(path, self._sizes.vocab)
        self._model = model
        self._names: list[str] = []
        inputs: list[Node] = []
        linear = blocks.linear

        def watched(x: Node, weights: Any, name: str, *, bias: bool = True) -> Node:
            shared = name.removesuffix(".query")
            if shared in range_shapes(self._sizes):
                self._names.append(shared)
                inputs.append(x)
            return linear(x, weights, name, bias=bias)

        blocks.linear = watched
        graph = build(self._sizes, tensors, words_given=self._words is not None)
        blocks.linear = linear
        graph.add_outputs([node.output(0) for node in inputs])
        compiled = compile_graph(graph, streams=1, threads=1, precision="int8", group=INT8_GROUP)
        self._request = compiled.create_infer_request()

    def ids(self, text: str, *, is_query: bool) -> npt.NDArray[np.int32]:
        """One window as the model cuts it."""
        prompt = PROMPTS[self._model][not is_query]
        said, own = (
            self._tokenizer.encode(part, add_special_tokens=False).ids for part in (prompt, text)
        )
        first, last = (self._tokenizer.token_to_id(token) for token in ENDS[self._model])
        return np.array([first, *said, *own[: self._pieces], last], np.int32)

    def inputs(self, ids: npt.NDArray[np.int32]) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
        """Of each layer, (L, inputs)."""
        packed: dict[str, Any] = {**pack([Row(ids, int(ids.size))], self._sizes)}
        del packed["first"]
        if self._words is not None:
            packed["words"] = self._words.rows(packed.pop("ids"))
        self._request.infer(packed)
        for i, name in enumerate(self._names):
            yield name, self._request.get_output_tensor(2 + i).data


def texts(train: Path, sets: Sequence[str], encoding: Encoding) -> Iterator[npt.NDArray[np.int32]]:
    """Windows of passages and queries."""
    for name in sets:
        pairs = random.Random(11).sample(read_pairs(train / name), PASSAGES)
        for pair in pairs:
            yield encoding.ids(pair.positive, is_query=False)
        for pair in pairs[: PASSAGES // 4]:
            yield encoding.ids(pair.query, is_query=True)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--model", choices=("mini", "multi"), required=True)
    parser.add_argument("--folder", type=Path, required=True)
    args = parser.parse_args()
    folder: Path = args.folder
    encoding = Encoding(args.model, folder)
    low: dict[str, Any] = {}
    high: dict[str, Any] = {}
    total: dict[str, Any] = {}
    tokens = 0
    for window in texts(args.train, (*ENGLISH, *OTHERS), encoding):
        tokens += window.size
        for name, seen in encoding.inputs(window):
            low[name] = np.minimum(low.get(name, np.inf), seen.min(axis=0))
            high[name] = np.maximum(high.get(name, -np.inf), seen.max(axis=0))
            total[name] = total.get(name, 0.0) + seen.sum(axis=0, dtype=np.float64)
    made = {n: np.stack((low[n], high[n], total[n] / tokens)).astype(np.float16) for n in low}
    save_file(made, folder / RANGES)
    config = json.loads((folder / CONFIG).read_bytes())
    config["sha256"][RANGES] = hashlib.sha256((folder / RANGES).read_bytes()).hexdigest()
    config["sha256"] = dict(sorted(config["sha256"].items()))
    (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    print(f"{len(made)} layers' inputs over {tokens} tokens: {(folder / RANGES).stat().st_size} B")


if __name__ == "__main__":
    main()
