"""How a folder of another form becomes one that is read: the command that transformers needs."""

from __future__ import annotations

from pathlib import Path
from typing import Final

# What transformers can make tokenizer.json of; of nothing, it makes a tokenizer of five tokens.
_VOCABULARIES: Final = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "sentencepiece.bpe.model",
    "spiece.model",
    "spm.model",
    "tokenizer.model",
)


def how_to_convert(folder: Path) -> str:
    """One command that saves weights and tokenizer in the form that is read, as sentences."""
    command = (
        'python -c "import transformers as t; '
        f"a = {str(folder)!r}; b = {f'{folder}-converted'!r}; "
        "getattr(t, t.AutoConfig.from_pretrained(a).architectures[0]).from_pretrained(a)"
        '.save_pretrained(b); t.AutoTokenizer.from_pretrained(a).save_pretrained(b)"'
    )
    if any((folder / name).exists() for name in _VOCABULARIES):
        return f"With transformers and torch: {command}"
    return (
        "First put the publisher's tokenizer files there: the folder has none "
        f"({', '.join(_VOCABULARIES)}). Then, with transformers and torch: {command}"
    )
