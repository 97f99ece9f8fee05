"""Make collections across languages of collections whose passages are parallel, for `rerankd eval`.

    python training/cross_lingual.py DIR --out OUT         (DIR: xquad-en, xquad-de, ... )

Passages of the same id are translations of one another. For each direction A-B of FOREIGN with
English, both ways:

cross-A-B: questions in A, all passages in B.
mixed-A-B: questions in A, the answer in B, all other passages in A.
half-A-B-own, half-A-B-other: questions in A, of the passages a half in A and the others in B, by
  hash; the answer in A, or in B. Who only favours another language loses there.

Lists are shuffled by hash; the same input gives the same files.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from rerankd.measure.collection import Candidates, Collection, CollectionText, read_collection

FOREIGN = ("de", "es", "zh", "ru")
Place = Callable[[str, str, bool], bool]  # question, passage, whether it answers -> is it in B


def _hash(*said: str) -> bytes:
    return hashlib.sha256(":".join(said).encode()).digest()


def _half(question: str, passage: str) -> bool:
    return bool(_hash("mix", question, passage)[0] & 1)


KINDS: dict[str, Place] = {
    "cross-{}-{}": lambda _, __, ___: True,
    "mixed-{}-{}": lambda _, __, answers: answers,
    "half-{}-{}-own": lambda q, p, answers: not answers and _half(q, p),
    "half-{}-{}-other": lambda q, p, answers: answers or _half(q, p),
}


def write(asked: Collection, read: Collection, place: Place, out: Path) -> None:
    """One collection: documents are named by language and id."""
    out.mkdir(parents=True, exist_ok=True)
    encode = msgspec.json.encode
    documents = [
        CollectionText(id=f"own-{id_}", text=text) for id_, text in asked.documents.items()
    ]
    documents += [
        CollectionText(id=f"other-{id_}", text=text) for id_, text in read.documents.items()
    ]
    lists: list[Candidates] = []
    judged: list[str] = []
    for question, grades in asked.qrels.items():
        answers = {id_ for id_, grade in grades.items() if grade > 0}
        order = sorted(asked.documents, key=lambda passage: _hash(question, passage))
        sides = {p: place(question, p, p in answers) for p in order}
        names = {p: f"{'other' if there else 'own'}-{p}" for p, there in sides.items()}
        lists.append(Candidates(qid=question, docs=list(names.values())))
        judged += [f"{question}\t{names[id_]}\t1" for id_ in sorted(answers)]
    texts = [CollectionText(id=id_, text=text) for id_, text in asked.queries.items()]
    for name, lines in (("queries", texts), ("docs", documents), ("candidates", lists)):
        (out / f"{name}.jsonl").write_bytes(b"\n".join(map(encode, lines)) + b"\n")
    (out / "qrels.tsv").write_text("\n".join(judged) + "\n", encoding="utf-8")


def main() -> None:
    """All kinds, all directions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    held = {
        language: read_collection(args.folder / f"xquad-{language}")
        for language in ("en", *FOREIGN)
    }
    for foreign in FOREIGN:
        for a, b in (("en", foreign), (foreign, "en")):
            for kind, place in KINDS.items():
                write(held[a], held[b], place, args.out / kind.format(a, b))


if __name__ == "__main__":
    main()
