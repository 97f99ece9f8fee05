"""What transformers and sentence-transformers make of a key in a file: scores, a window, an error.

`python -m tests.reference.make_folder_goldens` writes the installed versions' answers into
golden-folders.json, beside those of others. Made with torch 2.13.0 and transformers 4.57.6 in one
environment, transformers 5.24.0 and sentence-transformers 6.2.0 in another.
"""

from __future__ import annotations

import json
import logging
import tempfile
import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.reference.folder_cases import CASES, PAIRS, FolderCase

GOLDEN = Path(__file__).parent / "golden-folders.json"
Json = dict[str, Any]
DIGITS = 6


def by_transformers(folder: Path) -> Json:
    """Logits of the pairs, each alone, cut at the tokenizer's own limit."""
    torch, transformers = import_module("torch"), import_module("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    kind = transformers.AutoModelForSequenceClassification
    if json.loads((folder / "config.json").read_text("utf-8-sig"))["model_type"] == "qwen3":
        rows = [tokenizer(query, document)["input_ids"] for query, document in PAIRS]
        return {"ids": rows}
    model = kind.from_pretrained(folder).eval()
    limit = min(tokenizer.model_max_length, model.config.max_position_embeddings)
    scores: list[list[float]] = []
    for query, document in PAIRS:
        encoded = tokenizer(query, document, truncation=True, max_length=limit, return_tensors="pt")
        with torch.no_grad():
            scores.append(model(**encoded).logits[0].float().tolist())
    return {"scores": _rounded(scores), "window": int(limit)}


def by_sentence_transformers(folder: Path) -> Json:
    """What predict() answers."""
    encoder = import_module("sentence_transformers").CrossEncoder
    if json.loads((folder / "config.json").read_text("utf-8-sig"))["model_type"] == "qwen3":
        return {}
    model = encoder(str(folder), device="cpu", local_files_only=True)
    found: list[Any] = [model.predict([pair]).tolist()[0] for pair in PAIRS]
    scores: list[list[float]] = [each if isinstance(each, list) else [each] for each in found]
    return {"scores": _rounded(scores), "window": int(model.max_length)}


def _rounded(scores: list[list[float]]) -> list[list[float]]:
    return [[round(value, DIGITS) for value in row] for row in scores]


def answer(case: FolderCase, ask: Callable[[Path], Json], *, changed: bool) -> Json:
    """One reader's answer, or the class of its error."""
    with tempfile.TemporaryDirectory() as made:
        folder = case.write(Path(made) / "folder", changed=changed)
        try:
            return ask(folder)
        except Exception as error:  # noqa: BLE001 - whatever a library raises is its answer
            return {"error": type(error).__name__, "says": str(error).splitlines()[0][:160]}


def main() -> None:
    """Ask what is installed, and keep what others said."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    readers = {f"transformers {import_module('transformers').__version__}": by_transformers}
    if find_spec("sentence_transformers"):
        version = import_module("sentence_transformers").__version__
        readers[f"sentence-transformers {version}"] = by_sentence_transformers
    kept: dict[str, Json] = (
        json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else {}
    )
    for reader, ask in readers.items():
        kept[reader] = {}
        for name, case in CASES.items():
            kept[reader][name] = [answer(case, ask, changed=changed) for changed in (False, True)]
    lines = [
        f" {json.dumps(reader)}: {{\n"
        + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in kept[reader].items())
        + "\n }"
        for reader in sorted(kept)
    ]
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
