"""Folders of encoders without a head, made-up weights: BERT, XLM-R, RoBERTa, ModernBERT, GTE.

`Shape` is that of the family with a head, which is left off here.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tests.checkpoints import bert, gte, modernbert
from tests.checkpoints.made import Tensors, tokenizer_config, tokenizer_file, write_folder

Shape = bert.Shape | modernbert.Shape | gte.Shape
TINY_BERT = dataclasses.replace(bert.TINY_BERT, positions=512)
TINY_XLMR = dataclasses.replace(bert.TINY_XLMR, positions=514)
TINY_MODERNBERT = dataclasses.replace(modernbert.TINY, positions=8192)
SHAPES: dict[str, Shape] = {
    "bert": TINY_BERT,
    "xlm-roberta": TINY_XLMR,
    "roberta": bert.TINY_ROBERTA,
    "modernbert": TINY_MODERNBERT,
    "gte": gte.TINY,
    "gte-saved": gte.TINY_SAVED,
}
_ARCHITECTURES = {"bert": "BertModel", "xlm-roberta": "XLMRobertaModel", "roberta": "RobertaModel"}


def tensors(shape: Shape, *, is_prefixed: bool = False) -> Tensors:
    """The body's tensors, as `…Model` saves them, or with the prefix of a model around it."""
    if isinstance(shape, modernbert.Shape):
        prefix, made = "model.", modernbert.tensors(shape)
    elif isinstance(shape, gte.Shape):
        prefix, made = shape.prefix, gte.tensors(shape)
    else:
        prefix, made = shape.prefix, bert.tensors(shape)
    return {
        name if is_prefixed else name.removeprefix(prefix): tensor
        for name, tensor in made.items()
        if name.startswith(prefix)
    }


def config(shape: Shape) -> dict[str, object]:
    """config.json, as far as it matters."""
    if isinstance(shape, modernbert.Shape):
        return modernbert.config(shape) | {"architectures": ["ModernBertModel"]}
    if isinstance(shape, gte.Shape):
        name = "NewModel" if shape.is_published else "GteModel"
        return gte.config(shape) | {"architectures": [name]}
    return bert.config(shape) | {"architectures": [_ARCHITECTURES[shape.family]]}


def files_of(shape: Shape) -> tuple[dict[str, object], str]:
    """tokenizer_config.json and tokenizer.json."""
    if isinstance(shape, gte.Shape):
        own = tokenizer_config(gte.TOKENS, window=shape.positions)
        return own, bert.tokenizer_of("xlm-roberta")
    if not isinstance(shape, modernbert.Shape):
        return bert.tokenizer_config_of(shape), bert.tokenizer_of(shape.family)
    tokens = {token[1:-1].lower(): token for token in modernbert.SPECIALS}
    own = tokenizer_config(tokens, window=shape.positions)
    return own, tokenizer_file("modernbert").read_text(encoding="utf-8")


def write(folder: Path, shape: Shape, *, is_prefixed: bool = False, **change: object) -> Path:
    """Write the files of a checkpoint; `change` replaces fields of config.json."""
    own, tokenizer = files_of(shape)
    return write_folder(
        folder,
        config=config(shape) | change,
        tokenizer_config=own,
        tokenizer=tokenizer,
        tensors=tensors(shape, is_prefixed=is_prefixed),
    )
