"""BERT, XLM-R and RoBERTa checkpoints with made-up weights, written by numpy alone.

The weights come from the raw bits of PCG64, whose stream numpy promises never to change, so the
committed golden logits hold wherever the tests run. They are scaled so that logits differ well
between pairs and attention is far from uniform; nothing here ranks anything sensibly.

`python tests/reference/make_checkpoints.py` trains the two small tokenizers again.
"""

from __future__ import annotations

import dataclasses
import json
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType] - PathLike
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import UnigramTrainer, WordPieceTrainer

HERE = Path(__file__).parent
VOCAB = 4000
Tensors = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Sizes of a checkpoint; the tokenizer decides the family."""

    family: str  # "bert", "xlm-roberta" or "roberta"
    hidden: int
    layers: int
    heads: int
    intermediate: int
    positions: int
    labels: int = 1

    @property
    def prefix(self) -> str:
        """What transformers puts before the encoder's tensors."""
        return "bert." if self.family == "bert" else "roberta."


MINILM_L6 = Shape(family="bert", hidden=384, layers=6, heads=12, intermediate=1536, positions=512)
XLMR_BASE = Shape(
    family="xlm-roberta", hidden=768, layers=12, heads=12, intermediate=3072, positions=514
)
TINY_BERT = Shape(family="bert", hidden=32, layers=2, heads=4, intermediate=64, positions=128)
TINY_XLMR = Shape(
    family="xlm-roberta", hidden=32, layers=2, heads=4, intermediate=64, positions=130
)
XLMR_LARGE = Shape(  # bge-reranker-large; v2-m3 but for its positions
    family="xlm-roberta", hidden=1024, layers=24, heads=16, intermediate=4096, positions=514
)
TINY_ROBERTA = Shape(family="roberta", hidden=32, layers=2, heads=4, intermediate=64, positions=514)
TINY_JINA = dataclasses.replace(TINY_XLMR, positions=1026)  # jina-reranker-v2's longest row
GOLDEN_SHAPES = {
    "tiny-bert": dataclasses.replace(TINY_BERT, positions=512),
    "tiny-bert-2-labels": dataclasses.replace(TINY_BERT, positions=512, labels=2),
    "tiny-xlmr": dataclasses.replace(TINY_XLMR, positions=514),
    "tiny-roberta": TINY_ROBERTA,
    "tiny-jina": TINY_JINA,
}
ROBERTA_SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
_ARCHITECTURES = {
    "bert": "BertForSequenceClassification",
    "xlm-roberta": "XLMRobertaForSequenceClassification",
    "roberta": "RobertaForSequenceClassification",
}


def uniform(name: str, shape: tuple[int, ...], std: float) -> npt.NDArray[np.float32]:
    """Seeded by the tensor's name, mean 0."""
    count = math.prod(shape)
    raw = np.random.PCG64(zlib.crc32(name.encode())).random_raw((count + 1) // 2)
    bits = raw.astype("<u8").view("<u4")[:count]
    unit = (bits >> 8).astype(np.float32) * np.float32(2.0**-23) - np.float32(1.0)  # [-1, 1)
    return (unit * np.float32(std * math.sqrt(3.0))).reshape(shape)


def tensors(shape: Shape) -> Tensors:
    """All tensors under the names that transformers gives them."""
    h, p, made = shape.hidden, shape.prefix, Tensors()

    def linear(name: str, outputs: int, inputs: int, gain: float = 1.0) -> None:
        made[f"{name}.weight"] = uniform(name, (outputs, inputs), gain / math.sqrt(inputs))
        made[f"{name}.bias"] = uniform(f"{name}.bias", (outputs,), 0.1)

    def layer_norm(name: str) -> None:
        made[f"{name}.weight"] = 1.0 + uniform(name, (h,), 0.2)
        made[f"{name}.bias"] = uniform(f"{name}.bias", (h,), 0.1)

    types = 2 if shape.family == "bert" else 1
    for name, rows, std in (("word", VOCAB, 1.0), ("position", shape.positions, 0.3)):
        table = f"{p}embeddings.{name}_embeddings.weight"
        made[table] = uniform(table, (rows, h), std)
    table = f"{p}embeddings.token_type_embeddings.weight"
    made[table] = uniform(table, (types, h), 0.5)
    layer_norm(f"{p}embeddings.LayerNorm")
    for layer in range(shape.layers):
        block = f"{p}encoder.layer.{layer}"
        linear(f"{block}.attention.self.query", h, h, 1.4)
        linear(f"{block}.attention.self.key", h, h, 1.4)
        linear(f"{block}.attention.self.value", h, h)
        linear(f"{block}.attention.output.dense", h, h, 2.0)
        layer_norm(f"{block}.attention.output.LayerNorm")
        linear(f"{block}.intermediate.dense", shape.intermediate, h)
        linear(f"{block}.output.dense", h, shape.intermediate)
        layer_norm(f"{block}.output.LayerNorm")
    if shape.family == "bert":
        linear("bert.pooler.dense", h, h)
        linear("classifier", shape.labels, h, 4.0)
    else:
        linear("classifier.dense", h, h)
        linear("classifier.out_proj", shape.labels, h, 4.0)
    return made


def config(shape: Shape) -> dict[str, object]:
    """config.json as transformers writes it, as far as it matters."""
    bert = shape.family == "bert"
    return {
        "architectures": [_ARCHITECTURES[shape.family]],
        "model_type": shape.family,
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.intermediate,
        "vocab_size": VOCAB,
        "max_position_embeddings": shape.positions,
        "type_vocab_size": 2 if bert else 1,
        "layer_norm_eps": 1e-12 if bert else 1e-5,
        "hidden_act": "gelu",
        "pad_token_id": 0 if bert else 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "id2label": {str(i): f"LABEL_{i}" for i in range(shape.labels)},
        "label2id": {f"LABEL_{i}": i for i in range(shape.labels)},
    }


def tokenizer_config(shape: Shape) -> dict[str, object]:
    """tokenizer_config.json: the special tokens and the model's window."""
    names = (
        {"cls": "[CLS]", "sep": "[SEP]", "pad": "[PAD]", "unk": "[UNK]", "mask": "[MASK]"}
        if shape.family == "bert"
        else {"cls": "<s>", "sep": "</s>", "pad": "<pad>", "unk": "<unk>", "mask": "<mask>"}
    )
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": shape.positions - (0 if shape.family == "bert" else 2),
        "model_input_names": ["input_ids", "attention_mask"]
        + (["token_type_ids"] if shape.family == "bert" else []),
        **{f"{role}_token": token for role, token in names.items()},
    }


def write(folder: Path, shape: Shape, made: Tensors | None = None) -> Path:
    """Write the four files of a checkpoint; `made` replaces the tensors of the shape."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in (
        ("config.json", config(shape)),
        ("tokenizer_config.json", tokenizer_config(shape)),
    ):
        (folder / name).write_text(json.dumps(data, indent=1), encoding="utf-8")
    (folder / "tokenizer.json").write_text(tokenizer_of(shape.family), encoding="utf-8")
    save_file(tensors(shape) if made is None else made, folder / "model.safetensors")
    return folder


def tokenizer_of(family: str) -> str:
    """tokenizer.json: RoBERTa's byte-level BPE is ModernBERT's, with other special tokens."""
    if family == "roberta":
        template = "<s> $A </s> </s> $B </s>"
        return relabelled(HERE / "tokenizer-modernbert.json", ROBERTA_SPECIALS, template)
    return (HERE / f"tokenizer-{family}.json").read_text(encoding="utf-8")


def relabelled(path: Path, specials: list[str], pair: str) -> str:
    """A tokenizer.json whose first tokens, the special ones, have other names and another place.

    Args:
        path: the tokenizer that lends its vocabulary.
        specials: new names of ids 0, 1, ...
        pair: the template of a pair, as TemplateProcessing writes it.
    """
    raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for token in raw["added_tokens"]:
        token["content"] = specials[token["id"]]
    vocab: Any = raw["model"]["vocab"]
    if isinstance(vocab, dict):
        by_id = {i: name for name, i in cast("dict[str, int]", vocab).items()}
        names = {**by_id, **dict(enumerate(specials))}
        raw["model"]["vocab"] = {name: i for i, name in sorted(names.items())}
    else:
        for entry, name in zip(cast("list[list[Any]]", vocab), specials, strict=False):
            entry[0] = name
    tokenizer = Tokenizer.from_str(json.dumps(raw | {"post_processor": None}))
    used = [(name, i) for i, name in enumerate(specials) if name in pair]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=pair.partition(" $B")[0], pair=pair, special_tokens=used
    )
    return tokenizer.to_str()


def train_tokenizers(texts: list[str]) -> dict[str, Tokenizer]:
    """WordPiece as BERT's and Unigram as XLM-R's, each with VOCAB entries at most."""
    bert = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    bert.normalizer = normalizers.BertNormalizer(lowercase=True)
    bert.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    bert.decoder = decoders.WordPiece()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    bert.train_from_iterator(texts, WordPieceTrainer(vocab_size=VOCAB, special_tokens=specials))
    bert.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    # the files in the wild carry truncation and padding; what reads them must switch both off
    bert.enable_truncation(16)  # pyright: ignore[reportUnknownMemberType] - **kwargs
    bert.enable_padding(length=16)  # pyright: ignore[reportUnknownMemberType] - **kwargs

    xlmr = Tokenizer(models.Unigram())
    xlmr.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace("\n", " "), normalizers.Replace("\t", " ")]
    )
    xlmr.pre_tokenizer = pre_tokenizers.Metaspace()
    xlmr.decoder = decoders.Metaspace()
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = UnigramTrainer(vocab_size=VOCAB, special_tokens=specials, unk_token="<unk>")
    xlmr.train_from_iterator(texts, trainer)
    xlmr.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return {"bert": bert, "xlm-roberta": xlmr}


def main() -> None:
    """Train both tokenizers on the texts of pairs.jsonl and write them beside this file."""
    lines = (HERE / "pairs.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)[key] for line in lines for key in ("query", "document")]
    for family, tokenizer in train_tokenizers(texts).items():
        tokenizer.save(str(HERE / f"tokenizer-{family}.json"), pretty=False)


if __name__ == "__main__":
    main()
