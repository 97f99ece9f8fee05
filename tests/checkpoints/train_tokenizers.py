"""Trains the small tokenizers again: `python -m tests.checkpoints.train_tokenizers`.

WordPiece and Unigram come out a little different each time, and the goldens hold for the committed
ones: whoever commits new ones makes the goldens again.
"""

from __future__ import annotations

import json

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)
from tokenizers.trainers import BpeTrainer, UnigramTrainer, WordPieceTrainer

from tests.checkpoints import decoder, modernbert
from tests.checkpoints.made import HERE, VOCAB, tokenizer_file

PAIRS = HERE.parent / "reference" / "pairs.jsonl"
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
THINK = ["<think>", "</think>"]  # added tokens that are not special, as in Qwen3's tokenizer
# Source: tokenizer.json of Qwen2 and Qwen3.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def encoders(texts: list[str]) -> dict[str, Tokenizer]:
    """WordPiece as BERT's and Unigram as XLM-R's, each with VOCAB entries at most."""
    bert = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    bert.normalizer = normalizers.BertNormalizer(lowercase=True)
    bert.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    bert.decoder = decoders.WordPiece()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    bert.train_from_iterator(texts, WordPieceTrainer(vocab_size=VOCAB, special_tokens=specials))
    bert.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    # the files in the wild carry truncation and padding; what reads them must switch both off
    bert.enable_truncation(16)  # pyright: ignore[reportUnknownMemberType] - **kwargs
    bert.enable_padding(length=16)  # pyright: ignore[reportUnknownMemberType] - **kwargs

    xlmr = Tokenizer(models.Unigram())
    xlmr.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace("\n", " "), normalizers.Replace("\t", " ")]
    )
    xlmr.pre_tokenizer = pre_tokenizers.Metaspace()
    xlmr.decoder = decoders.Metaspace()
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = UnigramTrainer(vocab_size=VOCAB, special_tokens=specials, unk_token="<unk>")
    xlmr.train_from_iterator(texts, trainer)
    xlmr.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return {"bert": bert, "xlm-roberta": xlmr}


def modernberts(texts: list[str]) -> Tokenizer:
    """Byte-level BPE as ModernBERT's, with VOCAB entries."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=VOCAB,
        special_tokens=modernbert.SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    return tokenizer


def qwens(texts: list[str]) -> Tokenizer:
    """Byte-level BPE as Qwen's, with VOCAB entries."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = BpeTrainer(
        vocab_size=decoder.VOCAB - len(THINK),
        special_tokens=SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*texts, "yes\nno\n" * 1000], trainer)
    added = [AddedToken(token, normalized=False) for token in THINK]
    tokenizer.add_tokens(added)  # pyright: ignore[reportUnknownMemberType] - a bare list there
    return tokenizer


def main() -> None:
    """On the texts of pairs.jsonl; written beside this file."""
    lines = PAIRS.read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)[key] for line in lines for key in ("query", "document")]
    made = encoders(texts) | {"modernbert": modernberts(texts), "qwen": qwens(texts)}
    for name, tokenizer in made.items():
        tokenizer.save(str(tokenizer_file(name)), pretty=False)


if __name__ == "__main__":
    main()
