"""Folders of every family with one to three random changes: they open, or StartError says why.

The seed is fixed. RERANKD_FUZZ_ROUNDS=1000 makes more of it than a test run has time for.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from rerankd.core.errors import StartError
from rerankd.measure.flops import layer_cost
from rerankd.models.checkpoint import open_checkpoint
from rerankd.models.decoder_checkpoint import open_decoder
from rerankd.models.folder_recipe import folder_activation, query_prompt, refuse_other_models
from rerankd.models.folder_word import read_word
from rerankd.models.load import load, resolve
from rerankd.models.loaders import LOADERS
from rerankd.models.pair_template import derive_template
from rerankd.models.vision_checkpoint import open_vision
from tests.checkpoints import (
    bert,
    colbert,
    deberta,
    decoder,
    gte,
    jina_bert,
    listwise,
    logit_score,
    modernbert,
    module_head,
    vision,
)

ROUNDS = int(os.environ.get("RERANKD_FUZZ_ROUNDS", "30"))  # changes of each kind and family
WRITERS: dict[str, Callable[[Path], Path]] = {
    "bert": partial(bert.write, shape=bert.TINY_BERT),
    "xlm-roberta": partial(bert.write, shape=bert.TINY_XLMR),
    "roberta": partial(bert.write, shape=bert.TINY_ROBERTA),
    "modernbert": partial(modernbert.write, shape=modernbert.TINY),
    "deberta-v2": partial(deberta.write, shape=deberta.TINY),
    "qwen3": partial(decoder.write, shape=decoder.TINY_QWEN3),
    "vision": partial(vision.write, shape=vision.TINY),
}
BY_MODULES: dict[str, Callable[[Path], Path]] = {  # several files say how these are scored
    "pylate": partial(colbert.write, shape=colbert.PYLATE),
    "stanford": partial(colbert.write, shape=colbert.STANFORD),
    "multi-vector": partial(colbert.write, shape=colbert.MULTI_VECTOR),
    "ettin": partial(module_head.write, shape=module_head.TINY),
    "older-modules": partial(module_head.write, shape=module_head.TINY_OLD),
    "logit-score": partial(logit_score.write, form=logit_score.QWEN3_ST),
    "decoder-classifier": partial(logit_score.write, form=logit_score.CLASSIFIERS["qwen3"]),
    "listwise": partial(listwise.write, shape=listwise.TINY_WINDOWED),
    "gte": partial(gte.write, shape=gte.TINY),
    "jina-bert": partial(jina_bert.write, shape=jina_bert.TINY),
}
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 3, 7, 255, 10**6, 2**31, 2**63, 2**64, 10**30, -(10**30), 0.0,
    0.5, -1.5, 1e-300, 1e300, "", "a", "gelu", "é\u0000", "\ud800", "x" * 5000, [], {}, [[]],
    [0], [-1, 10**12], ["a", 1, None], {"a": 1}, {"type": "Sequence"}, {"String": ""},
    {"Regex": "(a"}, {"Regex": "(a|a)*b"}, [{"type": "NFKC"}] * 3,
)  # fmt: skip


def changed(value: Any, dice: random.Random) -> Any:
    """Another value: of another type, or near the one that was there."""
    if isinstance(value, bool) or dice.random() < 0.5:
        return dice.choice(VALUES)
    if isinstance(value, int):
        return value + dice.choice((-1, 1, -value, value, 10**9, -(10**9)))
    if isinstance(value, float):
        return value * dice.choice((-1.0, 0.0, 1e-9, 1e9, 1e290))
    if isinstance(value, str):
        return dice.choice((value + value, value[1:], value.upper(), value[::-1], f" {value}\n"))
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return dice.choice((items[1:], items * 2, items[::-1], [items], items[:1] * 1000))
    return {}


def places(tree: Any) -> list[Any]:
    """The keys of an object and a new one, or the first indices of an array."""
    if isinstance(tree, dict):
        fields = cast("dict[str, Any]", tree)
        fields.setdefault("new", 0)
        return list(fields)
    return list(range(min(len(cast("list[Any]", tree)), 50)))


def mutate(tree: Any, dice: random.Random) -> None:
    """Change, drop, repeat or add one thing, anywhere in a JSON value."""
    at: Any = tree
    while True:
        keys = places(at)
        if not keys:
            return
        key = dice.choice(keys)
        if isinstance(at[key], (dict, list)) and dice.random() < 0.8:
            at = at[key]
            continue
        if dice.random() < 0.2:
            del at[key]
        else:
            at[key] = changed(at[key], dice)
        return


def mutate_bytes(data: bytes, dice: random.Random) -> bytes:
    """Flip, cut, insert or repeat bytes."""
    out = bytearray(data)
    place = dice.randrange(len(out) or 1)
    match dice.randrange(5):
        case 0:
            out[place : place + 1] = bytes([dice.randrange(256)])
        case 1:
            del out[place : place + dice.randrange(1, 100)]
        case 2:
            out[place:place] = dice.choice((b"[" * 1000, b"\xff", b"\0", b'"', b"\\", b"{}", b"9"))
        case 3:
            out[place:place] = out[place : place + dice.randrange(1, 300)]
        case _:
            del out[place:]
    return bytes(out)


def change_json(path: Path, dice: random.Random) -> None:
    tree = json.loads(path.read_text(encoding="utf-8"))
    for _ in range(dice.randrange(1, 4)):
        mutate(tree, dice)
    path.write_text(json.dumps(tree), encoding="utf-8")


def change_header(path: Path, dice: random.Random) -> None:
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header, rest = data[8 : 8 + size], data[8 + size :]
    if dice.random() < 0.7:
        tree = json.loads(header)
        for _ in range(dice.randrange(1, 4)):
            mutate(tree, dice)
        header = json.dumps(tree).encode()
    else:
        header = mutate_bytes(header, dice)
    size = len(header) if dice.random() < 0.9 else dice.randrange(2 * len(header) + 1)
    path.write_bytes(struct.pack("<Q", size) + header + rest)


def change(folder: Path, kind: str, dice: random.Random) -> None:
    if kind == "header":
        change_header(min(folder.glob("*.safetensors")), dice)
    elif kind == "bytes":
        path = folder / dice.choice(("config.json", "tokenizer.json", "tokenizer_config.json"))
        path.write_bytes(mutate_bytes(path.read_bytes(), dice))
    else:
        change_json(folder / kind, dice)


def opened(folder: Path) -> str:
    """Open a folder as load() does: "opened", or what it is refused with."""
    try:
        layer_cost(folder)
        word = read_word(folder)
        if word.kind not in LOADERS:
            refuse_other_models(word)
        query_prompt(word)
        folder_activation(word)
        if word.kind == "vision":
            open_vision(folder)
        elif word.kind == "causal":
            open_decoder(folder)
        else:
            checkpoint = open_checkpoint(folder)
            derive_template(checkpoint.tokenizer, token_types=checkpoint.token_types)
    except StartError as error:
        return str(error)
    return "opened"


SETTINGS = "config_sentence_transformers.json"
ORDINARY: dict[str, Any] = {  # what sentence-transformers writes beside a folder that is served
    "modules.json": [{"idx": 0, "name": "0", "path": "", "type": "models.Transformer"}],
    SETTINGS: {
        "model_type": "CrossEncoder",
        "prompts": {"query": "Find: "},
        "default_prompt_name": None,
        "activation_fn": "torch.nn.modules.activation.Sigmoid",
    },
}
KINDS = (
    "modules.json",
    SETTINGS,
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "header",
    "bytes",
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", list(WRITERS))
def test_a_changed_folder_opens_or_says_why(family: str, kind: str, tmp_path: Path) -> None:
    whole = WRITERS[family](tmp_path / "whole")
    for name, content in ORDINARY.items():
        (whole / name).write_text(json.dumps(content), encoding="utf-8")
    assert opened(whole) == "opened"
    found: dict[str, int] = {"opened": 0, "refused": 0}
    for number in range(ROUNDS):
        dice = random.Random(f"{family} {kind} {number}")
        folder = tmp_path / "changed"
        shutil.copytree(whole, folder)
        change(folder, kind, dice)
        try:
            said = opened(folder)
        except BaseException as error:  # noqa: BLE001 - a panic is one
            pytest.fail(f"change {number}: {type(error).__name__}: {str(error)[:300]}")
        shutil.rmtree(folder)
        found["opened" if said == "opened" else "refused"] += 1
        assert len(said) < 3000, said
        assert said.isprintable(), said
    if kind != "tokenizer_config.json":  # little of it is read
        assert found["refused"] > 0


def loaded(folder: Path) -> str:
    """Load a folder with all its modules: as opened()."""
    try:
        load(resolve(f"changed={folder}")).model.engine.close()
    except StartError as error:
        return str(error)
    return "opened"


def change_any(folder: Path, dice: random.Random) -> Path:
    """Change one file, wherever it lies."""
    path = dice.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
    if path.suffix == ".safetensors":
        change_header(path, dice)
    elif path.suffix == ".jinja" or dice.random() < 0.2:
        path.write_bytes(mutate_bytes(path.read_bytes(), dice))
    else:
        change_json(path, dice)
    return path


@pytest.mark.parametrize("family", list(BY_MODULES))
def test_a_changed_module_loads_or_says_why(family: str, tmp_path: Path) -> None:
    whole = BY_MODULES[family](tmp_path / "whole")
    assert loaded(whole) == "opened"
    refused = 0
    for number in range(ROUNDS // 2):
        folder = tmp_path / "changed"
        shutil.copytree(whole, folder)
        path = change_any(folder, random.Random(f"{family} {number}"))
        said = loaded(folder)
        shutil.rmtree(folder)
        refused += said != "opened"
        where = f"change {number} of {path.relative_to(folder)}: {said[:300]}"
        assert "fault of rerankd" not in said, where  # what no reader foresaw
        assert len(said) < 3000, where
        assert said.isprintable(), where
    assert refused > 0
