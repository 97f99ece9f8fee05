"""Folders of a cross-encoder with one thing changed in one file: what do the readers make of it?

Each case is a key of a file. Its folder is scored beside the same folder without it: a library
whose scores differ reads the key, one whose scores are equal ignores it. docs/folders.md shows it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

Json = dict[str, Any]
Change = Callable[[Path], object]
# The last is longer than the small windows of the cases.
PAIRS: Final = (
    ("Where is Paris?", "PARIS is the capital of France, + more École [SEP] text "),
    ("what is 1 + 1", "two, said the teacher, and it was heard in the whole [MASK] room"),
    ("Where is the River", "The river " + "flows through the old town and on to the sea " * 9),
)
ST: Final = "sentence_transformers"
TRANSFORMER: Final = f"{ST}.base.modules.transformer.Transformer"
SETTINGS: Final = "config_sentence_transformers.json"
SIGMOID: Final = "torch.nn.modules.activation.Sigmoid"
IDENTITY: Final = "torch.nn.modules.linear.Identity"


@dataclass(frozen=True, kw_only=True)
class FolderCase:
    """One folder."""

    file: str
    key: str  # as the page shows it
    change: tuple[Change, ...]
    family: str = "bert"
    beside: tuple[Change, ...] = ()  # what the folder it is compared with has too

    def write(self, folder: Path, *, changed: bool = True) -> Path:
        """The folder with the change, or the one that it is compared with."""
        write_family(self.family, folder)
        for change in (*self.beside, *(self.change if changed else ())):
            change(folder)
        return folder


def write_family(family: str, folder: Path) -> Path:
    """An ordinary folder, as transformers saves it."""
    from tests.checkpoints import bert, decoder, modernbert

    shapes = {
        "bert": bert.TINY_BERT,
        "bert-2": dataclasses.replace(bert.TINY_BERT, labels=2),
        "roberta": bert.TINY_ROBERTA,
        "xlm-roberta": bert.TINY_XLMR,
    }
    if family in shapes:
        return bert.write(folder, shapes[family])
    if family == "modernbert":
        return modernbert.write(folder, modernbert.TINY)
    return decoder.write(folder, decoder.TINY_QWEN3)


def edited(name: str, **keys: Any) -> Change:
    """Keys of a JSON file, which is made where it is missing; None takes one out."""

    def change(folder: Path) -> None:
        path = folder / name
        raw: Json = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        raw |= keys
        kept = {key: value for key, value in raw.items() if value is not None}
        path.write_text(json.dumps(kept), encoding="utf-8")

    return change


def saved(name: str, content: object) -> Change:
    """A file of JSON."""

    def change(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content), encoding="utf-8")

    return change


def text(name: str, content: str) -> Change:
    """A file of text."""

    def change(folder: Path) -> None:
        (folder / name).write_text(content, encoding="utf-8")

    return change


def modules(*kinds: str, path: str = "") -> Change:
    """modules.json; a Transformer first."""
    entries = [{"idx": 0, "name": "0", "path": path, "type": TRANSFORMER}]
    entries += [
        {"idx": i, "name": str(i), "path": f"{i}_{kind.rpartition('.')[2]}", "type": kind}
        for i, kind in enumerate(kinds, 1)
    ]
    return saved("modules.json", entries)


def settings(**keys: Any) -> Change:
    """config_sentence_transformers.json of a cross-encoder."""
    return edited(SETTINGS, model_type="CrossEncoder", **keys)


def transformer(**keys: Any) -> Change:
    """sentence_bert_config.json of a classifier."""
    return edited("sentence_bert_config.json", **({"transformer_task": TASK} | keys))


TASK: Final = "sequence-classification"
SAVED: Final = (modules(), settings(), transformer())  # a cross-encoder that ST 6 saved


def tokenizer(change: Callable[[Json], object]) -> Change:
    """tokenizer.json, changed."""

    def apply(folder: Path) -> None:
        path = folder / "tokenizer.json"
        raw: Json = json.loads(path.read_text(encoding="utf-8"))
        change(raw)
        path.write_text(json.dumps(raw), encoding="utf-8")

    return apply


def _case(file: str, key: str, *change: Change, **more: Any) -> FolderCase:
    return FolderCase(file=file, key=key, change=change, **more)


def _add_token(raw: Json) -> None:
    token = {"id": 3999, "content": "capital", "single_word": False, "lstrip": False}
    token |= {"rstrip": False, "normalized": False, "special": False}
    vocab = raw["model"]["vocab"]
    last = next(word for word, index in vocab.items() if index == 3999)
    del vocab[last]
    raw["added_tokens"].append(token)


_DECODER_TOKEN: Final = {
    "1917": {
        "content": "he",
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "single_word": False,
        "special": True,
    }
}
_TEMPLATE: Final = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}{# query document #}"
)
_CHAT: Final = (
    "{% for m in messages %}{% if m['role'] == 'user' %}<user>{{ m['content'] }}"
    "{% elif m['role'] == 'assistant' %}<assistant>{{ m['content'] }}{% endif %}{% endfor %}"
)
_QUESTION: Final = {"prompts": {"query": "Question: "}, "default_prompt_name": "query"}
_SMALL: Final = 48  # tokens
_CONFIG, _TOKENS, _MODULE = "config.json", "tokenizer_config.json", "sentence_bert_config.json"


def _config_cases() -> list[FolderCase]:
    made = [
        _case(_CONFIG, f"{key} {value!r}", edited(_CONFIG, **{key: value}))
        for key, value in (
            ("layer_norm_eps", 0.1),
            ("hidden_act", "relu"),
            ("hidden_act", "gelu_new"),
            ("position_embedding_type", "relative_key"),
            ("is_decoder", True),
            ("pad_token_id", 5),
            ("dtype", "bfloat16"),
            ("torch_dtype", "bfloat16"),
            ("problem_type", "regression"),
            ("max_position_embeddings", 64),
            ("auto_map", {"AutoModel": "evil.Model", "AutoConfig": "evil.Config"}),
            ("is_causal", True),
            ("num_labels", 3),
        )
    ]
    made += [
        _case(
            _CONFIG, "pad_token_id 5, RoBERTa", edited(_CONFIG, pad_token_id=5), family="roberta"
        ),
        _case(
            _CONFIG,
            "classifier_pooling 'cls', ModernBERT",
            edited(_CONFIG, classifier_pooling="cls"),
            family="modernbert",
        ),
        _case(
            _CONFIG,
            "classifier_activation 'relu', ModernBERT",
            edited(_CONFIG, classifier_activation="relu"),
            family="modernbert",
        ),
        _case(
            _CONFIG,
            "sentence_transformers.activation_fn Identity",
            edited(_CONFIG, sentence_transformers={"activation_fn": IDENTITY}),
        ),
        _case(
            _CONFIG,
            "sentence_transformers.activation_fn Tanh",
            edited(_CONFIG, sentence_transformers={"activation_fn": "torch.nn.modules.Tanh"}),
        ),
        _case(
            _CONFIG,
            "sbert_ce_default_activation_function Identity",
            edited(_CONFIG, sbert_ce_default_activation_function=IDENTITY),
        ),
        _case(
            _CONFIG,
            "sbert_ce_default_activation_function of no torch",
            edited(_CONFIG, sbert_ce_default_activation_function="mine.Scale"),
        ),
    ]
    return made


def _tokens_cases() -> list[FolderCase]:
    pad = edited(_TOKENS, pad_token="he")
    keys: tuple[tuple[str, object], ...] = (
        ("pad_token", "he"),
        ("pad_token", "+"),
        ("eos_token", "he"),
        ("unk_token", "he"),
        ("cls_token", "he"),
        ("sep_token", "he"),
        ("mask_token", "he"),
        ("bos_token", "he"),
        ("additional_special_tokens", ["he"]),
        ("extra_special_tokens", ["he"]),
        ("extra_special_tokens", {"one": "he"}),
        ("added_tokens_decoder", _DECODER_TOKEN),
        ("truncation_side", "left"),
        ("padding_side", "left"),
        ("add_bos_token", True),
        ("add_eos_token", True),
        ("split_special_tokens", True),
        ("max_length", _SMALL),
        ("stride", 4),
        ("truncation_strategy", "only_first"),
        ("model_max_length", _SMALL),
        ("chat_template", _TEMPLATE),
        ("clean_up_tokenization_spaces", False),
        ("add_prefix_space", True),
        ("do_lower_case", False),
        ("never_split", ["heard"]),
    )
    made = [_case(_TOKENS, f"{key} {_short(v)}", edited(_TOKENS, **{key: v})) for key, v in keys]
    made += [
        _case(
            _TOKENS, f"{key} {_short(v)}, BertTokenizer", edited(_TOKENS, **{key: v}), beside=_BERT
        )
        for key, v in keys
        if key
        in ("pad_token", "unk_token", "cls_token", "sep_token", "do_lower_case", "never_split")
        or key.startswith("add")
    ]
    made.append(_case(_TOKENS, "pad_token 'he', Qwen3", pad, family="qwen3"))
    return made


_BERT: Final = (edited(_TOKENS, tokenizer_class="BertTokenizer"),)


def _short(value: object) -> str:
    if isinstance(value, dict):
        return "of an object"
    return "of a template" if value is _TEMPLATE else repr(value)


def _other_tokens_cases() -> list[FolderCase]:
    return [
        _case("special_tokens_map.json", "pad_token 'he'", saved("special_tokens_map.json", _PAD)),
        _case(
            "special_tokens_map.json",
            "additional_special_tokens ['he']",
            saved("special_tokens_map.json", {"additional_special_tokens": ["he"]}),
        ),
        _case("added_tokens.json", "'heard': 3998", saved("added_tokens.json", {"heard": 3998})),
        _case("vocab.txt", "of other words", text("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\nthe")),
        _case(
            "vocab.txt",
            "of other words, BertTokenizer",
            text("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe"),
            beside=_BERT,
        ),
        _case(
            "tokenizer.json",
            "truncation",
            tokenizer(lambda raw: raw.update(truncation=_TRUNCATION)),
        ),
        _case("tokenizer.json", "padding", tokenizer(lambda raw: raw.update(padding=_PADDING))),
        _case("tokenizer.json", "added_tokens", tokenizer(_add_token)),
        _case(
            "chat_template.jinja", "of query and document", text("chat_template.jinja", _TEMPLATE)
        ),
        _case("chat_template.jinja", "of user and assistant", text("chat_template.jinja", _CHAT)),
        _case(
            "chat_template.jinja",
            "of query and document, beside modules.json",
            text("chat_template.jinja", _TEMPLATE),
            beside=SAVED,
        ),
    ]


_PAD: Final = {"pad_token": "he"}
_TRUNCATION: Final = {
    "direction": "Right",
    "max_length": 16,
    "strategy": "LongestFirst",
    "stride": 0,
}
_PADDING: Final = {
    "strategy": {"Fixed": 64},
    "direction": "Right",
    "pad_to_multiple_of": None,
    "pad_id": 0,
    "pad_type_id": 0,
    "pad_token": "[PAD]",
}


def _sentence_cases() -> list[FolderCase]:
    activation = "activation_fn"
    made = [
        _case("modules.json", "Transformer", *SAVED),
        _case("modules.json", "Transformer, without the other files", modules()),
        _case(
            "modules.json",
            "Transformer, without its sentence_bert_config.json",
            modules(),
            settings(),
        ),
        _case(SETTINGS, "default_prompt_name", settings(**_QUESTION), beside=SAVED),
        _case(SETTINGS, "default_prompt_name, without modules.json", settings(**_QUESTION)),
        _case(SETTINGS, "prompts", settings(prompts={"query": "Question: "}), beside=SAVED),
        _case(
            SETTINGS,
            "default_prompt_name of none",
            settings(prompts={}, default_prompt_name="query"),
            beside=SAVED,
        ),
        _case(SETTINGS, "activation_fn, without modules.json", settings(activation_fn=IDENTITY)),
        _case(
            SETTINGS,
            "model_type 'SentenceTransformer'",
            edited(SETTINGS, model_type="SentenceTransformer"),
            beside=SAVED,
        ),
        _case(SETTINGS, "model_type, absent", edited(SETTINGS, model_type=None), beside=SAVED),
        _case(SETTINGS, "keep_in_fp32_modules", settings(keep_in_fp32_modules=["x"]), beside=SAVED),
        _case(SETTINGS, "truncate_dim 8", settings(truncate_dim=8), beside=SAVED),
    ]
    made += [
        _case(SETTINGS, f"activation_fn {name}", settings(**{activation: path}), beside=SAVED)
        for name, path in (
            ("Sigmoid", SIGMOID),
            ("Identity", IDENTITY),
            ("Tanh", "torch.nn.modules.activation.Tanh"),
            ("of no torch", "mine.Scale"),
            ("null", None),
        )
    ]
    made.append(
        _case(
            SETTINGS,
            "activation_fn Identity, without model_type",
            edited(SETTINGS, model_type=None, activation_fn=IDENTITY),
            beside=SAVED,
        )
    )
    keys: tuple[tuple[str, object], ...] = (
        ("max_seq_length", _SMALL),
        ("max_seq_length", 500),
        ("do_lower_case", True),
        ("transformer_task", "feature-extraction"),
        ("model_kwargs", {"dtype": "bfloat16"}),
        ("model_args", {"attn_implementation": "eager"}),
        ("config_kwargs", {"layer_norm_eps": 0.1}),
        ("config_args", {"hidden_act": "relu"}),
        ("processor_kwargs", {"model_max_length": _SMALL}),
        ("tokenizer_args", {"do_lower_case": True}),
        ("processing_kwargs", {"text": {"max_length": 16}}),
        ("tokenizer_name_or_path", "other"),
        ("query_length", 4),
        ("unpad_inputs", True),
        ("something", 1),
    )
    for key, value in keys:
        name = f"{key} {value!r}" if not isinstance(value, dict) else f"{key} {json.dumps(value)}"
        made.append(_case(_MODULE, name, transformer(**{key: value}), beside=(*SAVED, *_UPPER)))
    made += [
        _case(
            _MODULE,
            f"max_seq_length {_SMALL}, without modules.json",
            transformer(max_seq_length=_SMALL),
        ),
        _case(
            "sentence_roberta_config.json",
            f"max_seq_length {_SMALL}",
            edited("sentence_roberta_config.json", max_seq_length=_SMALL),
            beside=(
                modules(),
                settings(),
                saved("sentence_roberta_config.json", {"transformer_task": TASK}),
            ),
        ),
    ]
    return made


# A tokenizer that tells capitals apart, so that do_lower_case shows.
_UPPER: Final = (tokenizer(lambda raw: raw["normalizer"].update(lowercase=False)),)


def _label_cases() -> list[FolderCase]:
    """Two labels: which one is the score, and what becomes of it."""
    names = {"0": "relevant", "1": "irrelevant"}
    softmax = "torch.nn.modules.activation.Softmax"
    return [
        _case(_CONFIG, "id2label of two names", edited(_CONFIG, id2label=names), family="bert-2"),
        _case(
            _CONFIG,
            "num_labels 2 alone",
            edited(_CONFIG, id2label=None, num_labels=2),
            family="bert-2",
        ),
        _case(
            SETTINGS,
            "activation_fn Sigmoid, two labels",
            settings(activation_fn=SIGMOID),
            beside=SAVED,
            family="bert-2",
        ),
        _case(
            SETTINGS,
            "activation_fn Softmax, two labels",
            settings(activation_fn=softmax),
            beside=SAVED,
            family="bert-2",
        ),
    ]


def _ignored_cases() -> list[FolderCase]:
    return [
        _case("generation_config.json", "any", saved("generation_config.json", {"max_length": 3})),
        _case("preprocessor_config.json", "any", saved("preprocessor_config.json", {"size": 3})),
        _case("training_args.json", "any", saved("training_args.json", {"seed": 3})),
        _case(
            "1_Pooling/config.json",
            "without modules.json",
            saved("1_Pooling/config.json", {"x": 1}),
        ),
        _case("README.md", "any", text("README.md", "---\nlicense: mit\n---\n")),
        _case("modeling_x.py", "any", text("modeling_x.py", "raise SystemExit(3)\n")),
        _case("config.json", "a byte order mark", _bom),
    ]


def _bom(folder: Path) -> None:
    path = folder / "config.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())


CASES: Final = {
    f"{case.file}: {case.key}": case
    for case in (
        *_config_cases(),
        *_tokens_cases(),
        *_other_tokens_cases(),
        *_sentence_cases(),
        *_label_cases(),
        *_ignored_cases(),
    )
}
