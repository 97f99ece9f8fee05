"""Model folders that somebody made to hurt are refused by name, before their size is paid for."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers

from rerankd.core.errors import StartError
from rerankd.measure.flops import layer_cost
from rerankd.models import tokenizer_limits, weights
from rerankd.models.checkpoint import open_checkpoint
from rerankd.models.decoder_checkpoint import open_decoder
from rerankd.models.folder_file import INDEX, MAX_JSON_BYTES, read_bytes, shown
from rerankd.models.sizes import MAX_LAYERS, MAX_SIZE
from rerankd.models.tokenizer_patterns import KNOWN
from rerankd.models.vision_checkpoint import open_vision
from tests.checkpoints import bert, deberta, decoder, modernbert, vision

Edit = Callable[[dict[str, Any]], None]
Open = Callable[[Path], object]
FAMILIES: dict[str, tuple[Callable[[Path], Path], Open]] = {
    "bert": (partial(bert.write, shape=bert.TINY_BERT), open_checkpoint),
    "xlm-roberta": (partial(bert.write, shape=bert.TINY_XLMR), open_checkpoint),
    "modernbert": (partial(modernbert.write, shape=modernbert.TINY), open_checkpoint),
    "deberta-v2": (partial(deberta.write, shape=deberta.TINY), open_checkpoint),
    "qwen3": (partial(decoder.write, shape=decoder.TINY_QWEN3), open_decoder),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return bert.write(tmp_path / "bert", bert.TINY_BERT)


def refused(folder: Path, *says: str, opened: Open = open_checkpoint) -> str:
    """Open a folder; what it is refused with has every word."""
    with pytest.raises(StartError) as caught:
        opened(folder)
    message = str(caught.value)
    assert all(word in message for word in says), message
    assert len(message) < 2000, message[:3000]
    return message


def edit(path: Path, change: Edit) -> None:
    fields = json.loads(path.read_text(encoding="utf-8"))
    change(fields)
    path.write_text(json.dumps(fields), encoding="utf-8")


def edit_config(folder: Path, **change: Any) -> None:
    edit(folder / "config.json", lambda fields: fields.update(change))


def edit_tokenizer(folder: Path, change: Edit) -> None:
    edit(folder / "tokenizer.json", change)


def lists(folder: Path, count: int) -> None:
    """A weight file whose header lists so many empty tensors."""
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({f"t{i}": entry for i in range(count)}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)


@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize(
    ("key", "value", "limit"),
    [
        ("num_hidden_layers", 10**9, MAX_LAYERS),
        ("hidden_size", 10**12, MAX_SIZE),
        ("vocab_size", 10**15, MAX_SIZE),
        ("max_position_embeddings", 10**18, MAX_SIZE),
        ("num_attention_heads", 0, 1),
    ],
)
def test_a_size_that_no_model_has_is_refused_by_key_value_and_limit(
    family: str, key: str, value: int, limit: int, tmp_path: Path
) -> None:
    write, opened = FAMILIES[family]
    made = write(tmp_path)
    edit_config(made, **{key: value})
    refused(made, "config.json", key, str(limit), str(value), opened=opened)
    if key not in {"vocab_size", "max_position_embeddings"}:
        refused(made, key, opened=layer_cost)


@pytest.mark.parametrize("layers", [3, MAX_LAYERS])
def test_layers_are_checked_against_the_tensors_that_are_there(folder: Path, layers: int) -> None:
    edit_config(folder, num_hidden_layers=layers)
    refused(folder, f"missing {16 * (layers - 2)} ", "encoder.layer.2")


@pytest.mark.parametrize("key", ["depth", "num_heads", "spatial_merge_size"])
def test_the_sizes_of_a_vision_tower_have_limits(key: str, tmp_path: Path) -> None:
    made = vision.write(tmp_path, vision.TINY)
    edit(made / "config.json", lambda fields: fields["vision_config"].update({key: 10**12}))
    refused(made, f"$.vision_config.{key}", str(10**12), opened=open_vision)


def test_more_tensors_than_any_model_has_are_refused(folder: Path) -> None:
    lists(folder, weights.MAX_TENSORS + 1)
    refused(folder, "model.safetensors", f"lists {weights.MAX_TENSORS + 1} tensors")


def test_tensors_of_all_shards_count_together(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    names = list(bert.tensors(bert.TINY_BERT))
    monkeypatch.setattr(weights, "MAX_TENSORS", len(names) + 1)
    for shard in ("a.safetensors", "b.safetensors"):
        (folder / shard).write_bytes(whole)
    (folder / "model.safetensors").unlink()
    where = dict.fromkeys(names, "a.safetensors") | {"b": "b.safetensors"}
    (folder / INDEX).write_text(json.dumps({"weight_map": where}), encoding="utf-8")
    refused(folder, "b.safetensors lists")


def test_a_header_is_not_read_when_it_says_it_is_huge(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "MAX_HEADER_BYTES", 100)
    refused(folder, "model.safetensors", "its header has", "100")


@pytest.mark.parametrize("said", [0, 1 << 62, 10**6])
def test_a_header_that_is_not_there_is_not_believed(folder: Path, said: int) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(struct.pack("<Q", said) + b"{}")
    refused(folder, "model.safetensors", f"{said} bytes", "2 are there")


DEEP = "[" * 200_000 + "]" * 200_000


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_json_that_nests_deep_is_refused(folder: Path, name: str) -> None:
    text = (folder / name).read_text(encoding="utf-8")
    (folder / name).write_text(text.replace("{", f'{{"deep": {DEEP}, ', 1), encoding="utf-8")
    refused(folder, name, "200001 levels deep", "64")


@pytest.mark.parametrize("where", ["header", "index"])
def test_weights_whose_json_nests_deep_are_refused(folder: Path, where: str) -> None:
    file = folder / "model.safetensors"
    if where == "index":
        file.unlink()
        (folder / INDEX).write_text('{"weight_map": ' + DEEP + "}", encoding="utf-8")
    else:
        header = ('{"a": ' + DEEP + "}").encode()
        file.write_bytes(struct.pack("<Q", len(header)) + header)
    refused(folder, "model.safetensors", "200001 levels deep")


def test_brackets_inside_of_strings_do_not_nest(folder: Path) -> None:
    edit_config(folder, comment='[{"\\' * 500)
    open_checkpoint(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_what_is_not_utf_8_is_refused(folder: Path, name: str) -> None:
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data.replace(b"{", b'{"model_type_": "b\xffrt", ', 1))
    refused(folder, name, "not UTF-8", "byte 18")


def test_a_model_type_that_is_not_utf_8_is_not_asked_twice(folder: Path) -> None:
    data = (folder / "config.json").read_bytes()
    (folder / "config.json").write_bytes(data.replace(b'"bert"', b'"b\xffrt"'))
    refused(folder, "config.json", "not UTF-8")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_a_byte_order_mark_is_no_fault(folder: Path, name: str) -> None:
    path = folder / name
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    open_checkpoint(folder)


def test_a_key_that_is_there_twice_is_refused(folder: Path) -> None:
    path = folder / "config.json"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("{", '{"hidden_act": "relu",', 1), encoding="utf-8")
    refused(folder, "config.json", "'hidden_act' twice")


@pytest.mark.parametrize("digits", [400, 5000])
def test_a_number_of_many_digits_is_refused(folder: Path, digits: int) -> None:
    path = folder / "config.json"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("{", '{"extra": ' + "9" * digits + ",", 1), encoding="utf-8")
    if digits == 400:  # nobody reads it
        open_checkpoint(folder)
    else:
        refused(folder, "config.json")


def test_a_file_larger_than_any_is_refused_unread(folder: Path) -> None:
    with (folder / "config.json").open("r+b") as stream:
        stream.truncate(1 << 40)  # a hole
    refused(folder, "config.json", str(1 << 40), str(MAX_JSON_BYTES))


def test_a_tokenizer_larger_than_any_is_refused_unread(folder: Path) -> None:
    with (folder / "tokenizer.json").open("r+b") as stream:
        stream.truncate(1 << 40)
    refused(folder, "tokenizer.json", str(1 << 40), str(tokenizer_limits.MAX_TOKENIZER_BYTES))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_what_cannot_be_read_says_why(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: Any = Path.open

    def denied(path: Path, *args: Any, **kwargs: Any) -> Any:
        if path.name == name:
            raise PermissionError(13, "Permission denied")
        return opened(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", denied)
    refused(folder, name, "permission denied", "chmod")


def test_weights_that_cannot_be_read_are_not_called_damaged(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: Any = Path.open

    def denied(path: Path, *args: Any, **kwargs: Any) -> Any:
        if path.suffix == ".safetensors":
            raise PermissionError(13, "Permission denied")
        return opened(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", denied)
    assert "damaged" not in refused(folder, "model.safetensors", "permission denied")


def test_a_folder_in_a_files_place_is_said(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "config.json").mkdir()
    refused(folder, "config.json", "not a regular file")


def test_a_pipe_in_a_files_place_is_never_waited_for(folder: Path) -> None:
    if sys.platform == "win32":
        with pytest.raises(StartError):
            read_bytes(folder, 1)
        return
    import os

    (folder / "tokenizer.json").unlink()
    os.mkfifo(folder / "tokenizer.json")
    refused(folder, "tokenizer.json", "not a regular file")


def test_messages_are_short_and_on_one_line(folder: Path) -> None:
    edit_config(folder, architectures=["A\n" * 10**6], model_type="b" * 10**6)
    assert "\n" not in refused(folder, "not supported")
    assert shown("a\x1b[31m") == r"'a\x1b[31m'"


# tokenizer.json


def added(count: int, chars: int) -> Edit:
    def change(fields: dict[str, Any]) -> None:
        flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
        fields["added_tokens"] += [
            {"id": 3000 + i, "content": f"<{i}>".ljust(chars, "x"), **flags} for i in range(count)
        ]

    return change


def normalize(*steps: dict[str, Any]) -> Edit:
    return lambda fields: fields.update(normalizer={"type": "Sequence", "normalizers": list(steps)})


def replace(pattern: dict[str, str], content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


def split(pattern: str) -> Edit:
    return lambda fields: fields.update(
        pre_tokenizer={
            "type": "Split",
            "pattern": {"Regex": pattern},
            "behavior": "Isolated",
            "invert": False,
        }
    )


def model(**change: Any) -> Edit:
    return lambda fields: fields["model"].update(change)


TOKENIZERS: dict[str, tuple[Edit, tuple[str, ...]]] = {
    "many added tokens": (added(70_000, 0), ("added_tokens", "65536")),
    "a long added token": (added(1, 50_000_000 // 50), ("added_tokens[5].content", "1024")),
    "long added tokens": (added(1_100, 1_000), ("added_tokens", "characters", "1048576")),
    "replacements that multiply": (
        normalize(*[replace({"String": "a"}, "aaaaaaaaaa")] * 8),
        ("normalizers", "1e+03", "256"),
    ),
    "expressions that multiply": (
        normalize(*[replace({"Regex": ""}, "aaa")] * 8),
        ("normalizers", "256"),
    ),
    "a replacement by a book": (
        normalize(replace({"String": "a"}, "a" * 10_000)),
        ("normalizers", "1e+04", "256"),
    ),
    "prefixes that are books": (
        normalize({"type": "Prepend", "prepend": "a" * 10_000}, replace({"String": "b"}, "c")),
        ("normalizers", "256"),
    ),
    "many normalizers": (normalize(*[{"type": "NFC"}] * 70), ("normalizer", "64 steps")),
    "sequences of sequences": (
        normalize(*[{"type": "Sequence", "normalizers": [{"type": "NFC"}]}] * 40),
        ("normalizer", "64 steps"),
    ),
    "words of any length": (
        model(max_input_chars_per_word=100_000),
        ("max_input_chars_per_word", "200", "100000"),
    ),
    "a long prefix": (model(continuing_subword_prefix="#" * 17), ("continuing_subword_prefix",)),
    "a pattern that is a book": (split("a|" * 2_000), ("pattern", "2048")),
    "nested repetitions": (split("(a+)+$"), ("retry-limit",)),
    "nested repetitions of a rare letter": (split("(ж+)+щ"), ("retry-limit",)),
    "a search that starts again": (split(r"\s+$"), ("expressions", "limit")),
    "many patterns": (
        normalize(*[replace({"Regex": f"[{chr(97 + i)}]"}, "") for i in range(17)]),
        ("regular expressions", "16"),
    ),
    "no unknown word": (model(unk_token="[NONE]"), ("fails on ordinary text", "[UNK]")),
    "every word unknown": (
        lambda fields: fields["model"].update(
            vocab={f"[{i}]" if i > 4 else word: i for word, i in fields["model"]["vocab"].items()}
        ),
        ("one and the same token",),
    ),
    "a handful of tokens": (
        lambda fields: fields["model"].update(
            vocab={word: i for word, i in fields["model"]["vocab"].items() if i < 20}
        ),
        ("20 tokens", "4000"),
    ),
}


@pytest.mark.parametrize("name", list(TOKENIZERS))
def test_a_tokenizer_that_would_be_dear_is_refused(folder: Path, name: str) -> None:
    change, says = TOKENIZERS[name]
    edit_tokenizer(folder, change)
    refused(folder, "tokenizer.json", *says)


def test_a_vocabulary_of_millions_is_refused_before_it_is_built(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizer_limits, "MAX_VALUES", 1000)
    refused(folder, "tokenizer.json", "values (limit 1000 for 4000 token ids)")


def test_a_vocabulary_far_above_the_models_is_refused_before_it_is_built(folder: Path) -> None:
    edit_tokenizer(folder, model(vocab={f"t{i}": i for i in range(600_000)}))
    refused(folder, "tokenizer.json", "values (limit 564000 for 4000 token ids)")


def test_a_long_piece_of_a_unigram_model_is_refused(tmp_path: Path) -> None:
    """300 000 characters would overflow the library's stack: the process would end."""
    made = bert.write(tmp_path, bert.TINY_XLMR)
    edit_tokenizer(made, lambda fields: fields["model"]["vocab"].append(["x" * 300_000, -1.0]))
    refused(made, "tokenizer.json", "model.vocab", "256")


@pytest.mark.parametrize("kind", ["long", "cut"])
def test_a_table_of_characters_is_bounded(tmp_path: Path, kind: str) -> None:
    import base64

    made = bert.write(tmp_path, bert.TINY_XLMR)
    tree = struct.pack("<I", 1024) + bytes(1024)
    table = tree + b"x" * 300 + b"\0" if kind == "long" else tree[:500]
    step = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(table).decode()}
    edit_tokenizer(made, lambda fields: fields.update(normalizer=step))
    refused(made, "tokenizer.json", "precompiled_charsmap")


@pytest.mark.parametrize("pattern", sorted(KNOWN))
def test_the_patterns_that_are_known_are_quick(pattern: str) -> None:
    """No match of a run of 200 000 comes near the engine's ten million steps, which would raise."""
    cut = pre_tokenizers.Split(Regex(pattern), "isolated")
    for run in ("a", " ", "\n", "1", "!", "'", "\u0301", "a'", " \n", " a"):
        assert cut.pre_tokenize_str(run * 200_000)


@pytest.mark.parametrize("pattern", [r"\d{1,3}(?=(\d{3})*\b)", r"[A-Z]+[a-z]*|\w+", "[ \t]{2,}"])
def test_a_pattern_that_is_not_known_and_quick_is_taken(folder: Path, pattern: str) -> None:
    edit_tokenizer(folder, split(pattern))
    open_checkpoint(folder)


def test_usual_normalizers_are_taken(folder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace("``", '"'),
            normalizers.Replace("''", '"'),
            normalizers.NFKD(),
            normalizers.StripAccents(),
            normalizers.Lowercase(),
            normalizers.Prepend("▁"),
            normalizers.Replace(" ", "▁"),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    open_checkpoint(folder)


def test_special_tokens_that_the_vocabulary_lacks_are_refused(folder: Path) -> None:
    """The template's ids come from another place of the file than the vocabulary's."""

    def change(fields: dict[str, Any]) -> None:
        fields["post_processor"]["special_tokens"]["[SEP]"]["ids"] = [4_000_000_000]

    edit_tokenizer(folder, change)
    refused(folder, "tokenizer.json", "4000000000", opened=load_all)


def test_a_template_of_more_specials_than_any_is_refused(folder: Path) -> None:
    def change(fields: dict[str, Any]) -> None:
        special = fields["post_processor"]["special_tokens"]["[SEP]"]
        special["ids"], special["tokens"] = [3] * 100, ["[SEP]"] * 100

    edit_tokenizer(folder, change)
    refused(folder, "tokenizer.json", "special tokens", opened=load_all)


def load_all(folder: Path) -> None:
    from rerankd.models.pair_template import derive_template

    derive_template(open_checkpoint(folder).tokenizer, token_types=2)
