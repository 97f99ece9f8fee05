"""Regular expressions of a tokenizer: does a text make them slow?

They run over whole documents. The engine gives up after ten million steps of one match, by a panic;
below that, one that searches again from every place takes time squared. A pattern of the published
families is known to be linear; any other is tried on runs of the characters that it names, in
growing lengths, until it is seen to be quick or slow.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rerankd.core.errors import StartError
from rerankd.models.folder_file import shown

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MAX_PATTERNS: Final = 16  # unknown ones
MAX_NAMED_CHARS: Final = 32  # of all unknown patterns
LENGTHS: Final = (32, 2_048, 16_384)  # characters of a trial
MAX_TRIAL_S: Final = 0.2  # of the processor; a linear pattern takes 0.005
_RUNS: Final = ("a", " ", "\n", "1", "!", "é", "\u0301", "中", "\U0001f600", "a1", "a ", "a'", "Aa")

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
KNOWN: Final = frozenset(
    {
        # GPT-2, and what byte-level BPE is by default
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        # Qwen2, Qwen3
        _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
        r"|\s+(?!\S)|\s+",
        # Llama 3, cl100k
        _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
        r"|\s+(?!\S)|\s+",
        # sentencepiece, as transformers converts it
        " {2,}",
        r"\s+",
    }
)


def try_patterns(path: Path, tokenizer: Tokenizer, patterns: tuple[str, ...]) -> None:
    """Try the patterns that are not known, in the tokenizer that they are part of.

    Raises:
        StartError: there are too many, or a text of LENGTHS[-1] characters takes longer than
            MAX_TRIAL_S. The engine's own panic passes through.
    """
    unknown = [pattern for pattern in patterns if pattern not in KNOWN]
    if not unknown:
        return
    if len(unknown) > MAX_PATTERNS:
        raise StartError(
            f"{path} has {len(unknown)} regular expressions that no published family uses (at most "
            f"{MAX_PATTERNS}). Use the file as its publisher has it."
        )
    for run in _runs(unknown):
        for length in LENGTHS:
            text = (run * length)[:length]
            for trial in (text, f"{text}§"):  # what was matched so far fails at the end
                spent = _seconds(tokenizer, trial)
                if spent > MAX_TRIAL_S:
                    raise StartError(
                        f"{path}: {length} characters {shown(run)} take {spent:.1f} s to cut into "
                        f"words (limit {MAX_TRIAL_S} s): one of its regular expressions searches "
                        f"again and again ({', '.join(shown(each) for each in unknown[:3])}). Use "
                        "the file as its publisher has it."
                    )


def _runs(patterns: list[str]) -> Iterator[str]:
    """What trials repeat: usual characters, then those that the patterns name."""
    named = dict.fromkeys(char for pattern in patterns for char in pattern if char.isprintable())
    yield from dict.fromkeys((*_RUNS, *list(named)[:MAX_NAMED_CHARS]))


def _seconds(tokenizer: Tokenizer, text: str) -> float:
    started = time.thread_time()
    tokenizer.encode(text, add_special_tokens=False)
    return time.thread_time() - started
