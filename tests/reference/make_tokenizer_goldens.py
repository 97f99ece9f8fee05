"""What transformers reads of a pair where tokenizer_config.json and tokenizer.json have their say.

`python tests/reference/make_tokenizer_goldens.py` writes the ids and token types of the installed
transformers into golden-tokenizers.json, beside those of other versions. Made with 4.57.6 (and
tokenizers 0.22.2) and 5.23.0 (0.23.3); neither needs torch for it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from itertools import chain, product
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
GOLDEN = HERE / "golden-tokenizers.json"
QUERY, DOCUMENT = "Paris ÉCOLE 中文 ﬁne", "Ça va ½ İstanbul Hello "
Json = dict[str, Any]
CLASSES = ("BertTokenizer", "BertTokenizerFast", "PreTrainedTokenizerFast", None)
TYPES: dict[str, Json] = {
    "unsaid": {},
    "without": {"model_input_names": ["input_ids", "attention_mask"]},
    "with": {"model_input_names": ["input_ids", "attention_mask", "token_type_ids"]},
}


def _nothing(_: Json) -> None:
    """tokenizer.json as it is."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A folder of the family, with changes to two of its files."""

    family: str = "bert"
    config: Json = field(default_factory=dict[str, Any])  # tokenizer_config.json; None = absent
    change: Callable[[Json], object] = _nothing  # of tokenizer.json

    def write(self, folder: Path) -> Path:
        """The folder."""
        made = _write(self.family, folder)
        path = made / "tokenizer_config.json"
        said = json.loads(path.read_text(encoding="utf-8"))
        for name in ("tokenizer_class", "model_input_names"):
            said.pop(name, None)
        path.write_text(json.dumps(said | self.config), encoding="utf-8")
        path = made / "tokenizer.json"
        raw: Json = json.loads(path.read_text(encoding="utf-8"))
        self.change(raw)
        path.write_text(json.dumps(raw), encoding="utf-8")
        return made


def _write(family: str, folder: Path) -> Path:
    from tests.checkpoints import bert, deberta

    if family == "deberta-v2":
        return deberta.write(folder, deberta.TINY)
    shapes = {"bert": bert.TINY_BERT, "roberta": bert.TINY_ROBERTA, "xlm-roberta": bert.TINY_XLMR}
    return bert.write(folder, shapes[family])


def _normalizer(**change: Any) -> Callable[[Json], object]:
    return lambda raw: raw["normalizer"].update(change)


def _prefix(*, value: bool) -> Callable[[Json], object]:
    return lambda raw: raw["pre_tokenizer"].update(add_prefix_space=value)


def _nfkc_first(raw: Json) -> None:
    raw["normalizer"] = {
        "type": "Sequence",
        "normalizers": [{"type": "NFKC"}, raw["normalizer"]],
    }


def _lowercase(raw: Json) -> None:
    raw["normalizer"] = {"type": "Lowercase"}


def _of_class(name: str | None) -> Json:
    return {} if name is None else {"tokenizer_class": name}


def _type_cases() -> Iterator[tuple[str, Case]]:
    for name in (*CLASSES, "TokenizersBackend", "DistilBertTokenizer"):
        for key, said in TYPES.items():
            yield f"types {key}, {name}", Case(config=_of_class(name) | said)


def _lower_cases() -> Iterator[tuple[str, Case]]:
    for name, lower, own in product(CLASSES, (None, True, False), (True, False)):
        said = {} if lower is None else {"do_lower_case": lower}
        config = _of_class(name) | TYPES["with"] | said
        case = Case(config=config, change=_normalizer(lowercase=own))
        yield f"lower {lower} over {own}, {name}", case


def _prefix_cases() -> Iterator[tuple[str, Case]]:
    classes = ("RobertaTokenizer", "RobertaTokenizerFast", "PreTrainedTokenizerFast", None)
    for name, prefix, own in product(classes, (None, True, False), (True, False)):
        said = {} if prefix is None else {"add_prefix_space": prefix}
        case = Case(family="roberta", config=_of_class(name) | said, change=_prefix(value=own))
        yield f"prefix {prefix} over {own}, {name}", case


def _other_cases() -> dict[str, Case]:
    bert, roberta = _of_class("BertTokenizer"), _of_class("RobertaTokenizer")
    made = {
        "accents kept": Case(config=bert | {"strip_accents": False}),
        "accents kept by tokenizer.json": Case(
            config=bert, change=_normalizer(strip_accents=False)
        ),
        "Chinese kept": Case(config=bert | {"tokenize_chinese_chars": False}),
        "Chinese kept by tokenizer.json": Case(
            config=bert, change=_normalizer(handle_chinese_chars=False)
        ),
        "NFKC before BERT's": Case(config=bert, change=_nfkc_first),
        "RoBERTa in lower case": Case(family="roberta", config=roberta, change=_lowercase),
    }
    for name in ("XLMRobertaTokenizer", "PreTrainedTokenizerFast"):
        made[f"XLM-R, {name}"] = Case(family="xlm-roberta", config=_of_class(name))
    for name in ("DebertaV2Tokenizer", "PreTrainedTokenizerFast"):
        made[f"DeBERTa, {name}"] = Case(family="deberta-v2", config=_of_class(name))
    return made


CASES = dict(chain(_type_cases(), _lower_cases(), _prefix_cases())) | _other_cases()


def main() -> None:
    """Ask the transformers that is installed, and keep what others said."""
    sys.path.insert(0, str(HERE.parent.parent))
    transformers: Any = import_module("transformers")

    found: dict[str, Json] = {}
    for name, case in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            case.write(Path(folder))
            try:
                tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
            except ValueError:  # a class that this version does not have
                continue
            encoded = tokenizer(QUERY, DOCUMENT)
        found[name] = {"ids": encoded["input_ids"]}
        if "token_type_ids" in encoded:
            found[name]["types"] = encoded["token_type_ids"]
    kept: dict[str, Json] = (
        json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else {}
    )
    kept[transformers.__version__] = found
    lines = [
        f" {json.dumps(version)}: {{\n"
        + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in kept[version].items())
        + "\n }"
        for version in sorted(kept)
    ]
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
