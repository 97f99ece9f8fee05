"""tokenizer_config.json: what transformers lets it say over tokenizer.json.

Transformers builds its tokenizer from both files, and for some classes the former wins: BERT's
lower case, accents and Chinese characters, RoBERTa's blank before the first word; and
`model_input_names`, or the class, says whether a model is told which tokens are the document's.
Checked against transformers 4.57.6 and 5.23.0; docs/parity.md lists where these two differ.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from rerankd.core.errors import StartError
from rerankd.models.folder_file import failing_as, read_json, shown
from rerankd.models.special_tokens import Named
from rerankd.models.unigram_tokenizer import UnigramTokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from rerankd.models.tokens import AnyTokenizer

NAME: Final = "tokenizer_config.json"
TYPE_IDS: Final = "token_type_ids"
_GENERIC: Final = "PreTrainedTokenizer"  # transformers 4: tokenizer.json as it is
_BACKEND: Final = "TokenizersBackend"  # transformers 5: the same
_BERT: Final = ("BertTokenizer", "ElectraTokenizer", "DistilBertTokenizer")
_ROBERTA: Final = "RobertaTokenizer"
_DEFAULT_CLASS: Final = {  # by model_type
    "bert": "BertTokenizer",
    "roberta": _ROBERTA,
    "xlm-roberta": "XLMRobertaTokenizer",
    "modernbert": _GENERIC,
    "deberta-v2": "DebertaV2Tokenizer",
    "gte": "XLMRobertaTokenizer",
    "camembert": "CamembertTokenizer",
    "electra": "ElectraTokenizer",
    "distilbert": "DistilBertTokenizer",
}
# Whether a class passes token types when nothing else says so.
_PASSES_TYPES: Final = {
    "BertTokenizer": True,
    "ElectraTokenizer": True,
    "DebertaV2Tokenizer": True,
    "DistilBertTokenizer": False,
    _ROBERTA: False,
    "XLMRobertaTokenizer": False,
    "CamembertTokenizer": False,
    _BACKEND: False,
}


class TokenizerConfig(msgspec.Struct):
    """The fields that change what a model reads; defaults are transformers'."""

    tokenizer_class: str | None = None
    model_input_names: list[str] | None = None
    model_max_length: float | None = None  # absent, or about 1e30, when nobody set it
    do_lower_case: bool | None = None
    strip_accents: bool | None = None
    tokenize_chinese_chars: bool | None = None
    add_prefix_space: bool | None = None
    cls_token: str | Named | None = None
    sep_token: str | Named | None = None
    unk_token: str | Named | None = None

    @property
    def window_tokens(self) -> int | None:
        """The tokenizer's own limit, when it is a real one."""
        declared = self.model_max_length
        return int(declared) if declared is not None and 0 < declared <= 1e9 else None

    def class_name(self, model_type: str) -> str:
        """Without "Fast": both kinds read the same."""
        name = self.tokenizer_class or _DEFAULT_CLASS.get(model_type, _GENERIC)
        return name.removesuffix("Fast")


def read_tokenizer_config(folder: Path) -> TokenizerConfig:
    """The file's fields, or the defaults when there is none.

    Raises:
        StartError: it is there and cannot be used.
    """
    path = folder / NAME
    return read_json(path, TokenizerConfig) if path.exists() else TokenizerConfig()


def follow_config(
    tokenizer: AnyTokenizer, config: TokenizerConfig, model_type: str, folder: Path
) -> None:
    """Change a tokenizer as transformers does for its class.

    Raises:
        StartError: transformers 4 and 5 would read it in two ways.
    """
    if isinstance(tokenizer, UnigramTokenizer):
        return  # what may be changed is in no such file
    from tokenizers.normalizers import BertNormalizer  # here: such a file does without the library
    from tokenizers.pre_tokenizers import ByteLevel

    name = config.class_name(model_type)
    if name not in (_GENERIC, _BACKEND):
        _refuse_other_roles(tokenizer, config, name, folder)
    normalizer, splitter = tokenizer.normalizer, tokenizer.pre_tokenizer
    if name in _BERT and isinstance(normalizer, BertNormalizer):
        tokenizer.normalizer = BertNormalizer(
            clean_text=normalizer.clean_text,
            handle_chinese_chars=config.tokenize_chinese_chars is not False,
            strip_accents=config.strip_accents,
            lowercase=config.do_lower_case is not False,
        )
    if not isinstance(splitter, ByteLevel):
        return
    wanted = config.add_prefix_space is True
    if name == _ROBERTA:
        tokenizer.pre_tokenizer = ByteLevel(
            add_prefix_space=wanted,
            trim_offsets=splitter.trim_offsets,
            use_regex=splitter.use_regex,
        )
    elif name == _GENERIC and splitter.add_prefix_space != wanted:
        said = "true" if splitter.add_prefix_space else "false"
        raise StartError(
            f"{folder / NAME}: add_prefix_space is {config.add_prefix_space} and tokenizer.json's "
            f"is {said}; transformers 4 follows the former and transformers 5 the latter, with "
            f'other scores. If tokenizer.json is right, write "add_prefix_space": {said} there.'
        )


def lowercase_first(tokenizer: AnyTokenizer, folder: Path) -> None:
    """do_lower_case of sentence-transformers: before whatever the tokenizer does itself.

    Raises:
        StartError: the tokenizer is of XLM-R's form, which is read without the library.
    """
    if isinstance(tokenizer, UnigramTokenizer):
        raise StartError(f"{folder}: do_lower_case true is not supported for XLM-R's tokenizer.")
    from tokenizers.normalizers import Lowercase, Sequence

    own = tokenizer.normalizer
    if not isinstance(own, Lowercase):
        tokenizer.normalizer = Sequence([Lowercase(), *([own] if own is not None else [])])


def _refuse_other_roles(
    tokenizer: Tokenizer, config: TokenizerConfig, name: str, folder: Path
) -> None:
    """Transformers 5 puts the named tokens around a pair, transformers 4 tokenizer.json's."""
    with failing_as("tokenizer.json: its post-processor fails: {}."):
        query, document = (tokenizer.encode(text, add_special_tokens=False) for text in "ab")
        pair = tokenizer.post_process(query, document)
    ends = pair.tokens if pair.special_tokens_mask[:1] == [1] else [None]
    unknown = getattr(tokenizer.model, "unk_token", None)
    roles = {
        "cls_token": (config.cls_token, ends[0]),
        "sep_token": (config.sep_token, ends[-1]),
        "unk_token": (config.unk_token, unknown),
    }
    for role, (token, own) in roles.items():
        said = token.content if isinstance(token, Named) else token
        if said is not None and own is not None and said != own:
            raise StartError(
                f"{folder / NAME}: {role} is {shown(said)}, and in tokenizer.json it is "
                f"{shown(own)}; for a tokenizer_class {shown(name)[1:-1]} transformers 5 follows "
                "the former and transformers 4 the latter, with other scores. Write there what the "
                "model was trained with."
            )


def passes_token_types(config: TokenizerConfig, model_type: str) -> bool | None:
    """Whether the model is told which tokens are the document's; None if transformers disagree."""
    if config.model_input_names is not None:
        return TYPE_IDS in config.model_input_names
    return _PASSES_TYPES.get(config.class_name(model_type))


def unclear_token_types(config: TokenizerConfig, model_type: str, folder: Path) -> StartError:
    """The refusal of a folder of which passes_token_types() is None, and to which it matters."""
    name = shown(config.tokenizer_class or config.class_name(model_type))
    return StartError(
        f"{folder / NAME}: tokenizer_class {name} without model_input_names: transformers 4 tells "
        f"the model which tokens are the document's ({TYPE_IDS}), transformers 5 does not, and "
        "the scores differ. Write model_input_names as the model was trained: "
        f'["input_ids", "{TYPE_IDS}", "attention_mask"], or without "{TYPE_IDS}".'
    )
