"""Tokens that other files than tokenizer.json name: transformers finds them whole in any text.

tokenizer_config.json (`added_tokens_decoder`, `pad_token` and the other roles,
`additional_special_tokens`, `extra_special_tokens`); in older folders, which have no
`added_tokens_decoder`, special_tokens_map.json and added_tokens.json as well. A token of the
vocabulary that is named there is no longer made of what stands around it: a `pad_token` of "+"
makes two tokens of " +". Checked against transformers 4.57.6 and 5.24.0
(tests/reference/golden-folders.json).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from rerankd.core.errors import StartError
from rerankd.models.folder_file import read_json, shown
from rerankd.models.unigram_tokenizer import Added

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

    from rerankd.models.tokens import AnyTokenizer

CONFIG: Final = "tokenizer_config.json"
MAP: Final = "special_tokens_map.json"
ADDED: Final = "added_tokens.json"
MAX_NAMED: Final = 65_536  # as of tokenizer.json's added tokens
MAX_NAMED_CHARS: Final = 1024  # of one
MAX_ALL_CHARS: Final = 1 << 20


class Named(msgspec.Struct, frozen=True):
    """A token that is found before the text is taken apart, as the library `tokenizers` has it."""

    content: str
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool | None = None  # None = unless it is special
    special: bool = False

    @property
    def flags(self) -> tuple[bool, ...]:
        """What decides where it is found."""
        normalized = not self.special if self.normalized is None else self.normalized
        return (self.single_word, self.lstrip, self.rstrip, normalized)


class _Roles(msgspec.Struct):
    """The tokens with a role, of either file."""

    bos_token: str | Named | None = None
    eos_token: str | Named | None = None
    unk_token: str | Named | None = None
    sep_token: str | Named | None = None
    pad_token: str | Named | None = None
    cls_token: str | Named | None = None
    mask_token: str | Named | None = None
    additional_special_tokens: list[str | Named] | None = None
    extra_special_tokens: list[str | Named] | dict[str, str | Named] | None = None

    def tokens(self) -> Iterator[str | Named]:
        """All of them."""
        for role in _ROLES:
            token = getattr(self, role)
            if token is not None:
                yield token
        yield from self.additional_special_tokens or ()
        extra = self.extra_special_tokens or ()
        yield from extra.values() if isinstance(extra, Mapping) else extra


class _Config(_Roles):
    """tokenizer_config.json."""

    added_tokens_decoder: dict[str, Named] | None = None
    split_special_tokens: bool = False


_ROLES: Final = tuple(each for each in _Roles.__struct_fields__ if each.endswith("_token"))


def missing_tokens(tokenizer: AnyTokenizer, folder: Path, vocab: int) -> tuple[Named, ...]:
    """Tokens of the model's vocabulary that a text's special tokens must include as well.

    Names that are no token of the vocabulary are left out: transformers invents ids for them that
    the model lacks, and fails on a text that holds one.

    Args:
        tokenizer: of tokenizer.json.
        folder: with the other files.
        vocab: ids that the model has.

    Raises:
        StartError: a file cannot be used, or names more or longer tokens than any model has, or
            asks for special tokens to be read as ordinary text.
    """
    present = {each.content: _flags(each) for each in tokenizer.get_added_tokens_decoder().values()}
    found: dict[str, Named] = {}
    for path, token in _named(folder):
        same = present.get(token.content)
        if same is not None and (token.normalized is None or same == token.flags):
            continue
        index = tokenizer.token_to_id(token.content)
        if index is not None and index < vocab:
            found[token.content] = token
        _bounded(path, found)
    return tuple(found.values())


def add_tokens(tokenizer: Tokenizer, missing: Iterable[Named]) -> None:
    """Let a tokenizer of the library find them."""
    from tokenizers import AddedToken  # here: some tokenizers do without the library

    made: list[str | AddedToken] = []
    for token in missing:
        single_word, lstrip, rstrip, normalized = token.flags
        made.append(
            AddedToken(
                token.content,
                single_word=single_word,
                lstrip=lstrip,
                rstrip=rstrip,
                normalized=normalized,
                special=token.special,
            )
        )
    tokenizer.add_tokens(made)  # pyright: ignore[reportUnknownMemberType] - a bare list


def _flags(token: AddedToken | Added) -> tuple[bool, ...]:
    """As Named.flags."""
    if isinstance(token, Added):
        return (False, token.takes_blanks, False, token.normalized)
    return (token.single_word, token.lstrip, token.rstrip, token.normalized)


def _named(folder: Path) -> Iterator[tuple[Path, Named]]:
    """File and token, in transformers' order: what is written out first, then the roles."""
    path = folder / CONFIG
    config = read_json(path, _Config) if path.exists() else _Config()
    if config.split_special_tokens:
        raise StartError(
            f"{path}: split_special_tokens true reads special tokens in a text as ordinary words, "
            "which rerankd does not do; the scores of such texts would be other ones."
        )
    if config.added_tokens_decoder is not None:
        yield from ((path, token) for token in config.added_tokens_decoder.values())
    else:
        mapped, added = folder / MAP, folder / ADDED
        roles = [*(read_json(mapped, _Roles) if mapped.exists() else _Roles()).tokens()]
        special = {_special(each).content for each in (*roles, *config.tokens())}
        for content in read_json(added, dict[str, int]) if added.exists() else ():
            is_special = content in special
            yield added, Named(content, normalized=not is_special, special=is_special)
        yield from ((mapped, _special(each)) for each in roles)
    yield from ((path, _special(token)) for token in config.tokens())


def _special(token: str | Named) -> Named:
    """A role's token: its own flags count only where nothing else has named it."""
    if isinstance(token, str):
        return Named(token, special=True)
    return msgspec.structs.replace(token, special=True, normalized=None)


def _bounded(path: Path, found: Mapping[str, Named]) -> None:
    longest = max(map(len, found), default=0)
    if len(found) > MAX_NAMED or longest > MAX_NAMED_CHARS or sum(map(len, found)) > MAX_ALL_CHARS:
        raise StartError(
            f"{path} names tokens that are too many or too long ({len(found)}, the longest "
            f"{shown(longest)} characters). No published model has such a file."
        )
