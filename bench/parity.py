"""How far our logits are from those of torch and transformers, family by family, engine by engine.

    python bench/parity.py --write docs/parity.md
    python bench/parity.py --write docs/parity.md --only ettin  # these checkpoints' rows alone

Needs no torch for OpenVINO's rows: the reference's logits are committed (tests/reference/*.json),
and `pytest -m reference` shows that they are what live transformers says. With torch installed, the
torch engine's rows are there too. Weights are made up from a seed: equal arithmetic is what is
shown, not quality.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shared  # noqa: F401 # pyright: ignore[reportUnusedImport] - finds tests

from rerankd.core.options import EngineName, LoadOptions
from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Logits, Row
from rerankd.models.base import Model
from rerankd.models.causal_yes_no import load_causal_yes_no
from rerankd.models.cross_encoder import load_cross_encoder
from tests.checkpoints import bert as berts
from tests.checkpoints import bert_kin as kin
from tests.checkpoints import deberta as debertas
from tests.checkpoints import decoder as decoders
from tests.checkpoints import gte as gtes
from tests.checkpoints import jina_bert as jina_berts
from tests.checkpoints import modernbert as modernberts
from tests.engines.widths import open_width, width_requests
from tests.reference import make_bert_kin_goldens as kin_goldens
from tests.reference import make_deberta_goldens as deberta_goldens
from tests.reference import make_decoder_goldens as decoder_goldens
from tests.reference import make_goldens as bert_goldens
from tests.reference import make_gte_goldens as gte_goldens
from tests.reference import make_jina_bert_goldens as jina_bert_goldens
from tests.reference import make_modernbert_goldens as modernbert_goldens
from tests.reference import make_width_goldens as widths

HEADER = (
    "| checkpoint | engine | rows | tokens | spread | max logit difference | in another batch |"
)
OPENVINO_ONLY = (
    "tiny-deberta",
    "deberta",
    "tiny-gte",
    "gte",
    "tiny-jina-bert",
    "ettin",
    "gemma",
    "nemotron",
)
TRUE_WIDTH = ", true width"
Goldens = npt.NDArray[np.float64]
Writer = Callable[[Path], Path]


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One checkpoint and what the reference says of it."""

    name: str
    write: Writer | None  # None: of true width
    requests: Sequence[RerankRequest]
    golden: Goldens  # (pairs, K)
    decoder: bool = False
    window_tokens: int | None = None

    def load(self, folder: Path, engine: EngineName) -> Model:
        """On one engine, on the CPU, in fp32."""
        if self.write is None:
            return open_width(self.name.removesuffix(TRUE_WIDTH), folder, engine)
        options = LoadOptions(
            window_tokens=self.window_tokens,
            engine=engine,
            device="cpu" if engine == "torch" else None,
        )
        opened = load_causal_yes_no if self.decoder else load_cross_encoder
        return opened(self.write(folder), name=self.name, options=options)


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _request(query: str, document: str, instruction: str | None = None) -> RerankRequest:
    return RerankRequest(
        query=Content(value=query),
        documents=(Content(value=document),),
        instruction=instruction,
        max_chunks_per_doc=1,
    )


def _of_pairs(pairs: Sequence[bert_goldens.Pair]) -> list[RerankRequest]:
    return [_request(pair["query"], pair["document"]) for pair in pairs]


def _of_items(items: Sequence[decoder_goldens.Item]) -> list[RerankRequest]:
    return [_request(item["query"], item["document"], item["instruction"]) for item in items]


def _writer(module: Any, shape: Any) -> Writer:
    return lambda folder: module.write(folder, shape)


def cases() -> Iterator[Case]:
    """Tiny checkpoints with every pair and the longest rows; then the true widths."""
    known = _read(bert_goldens.GOLDEN)
    encoders = [
        (berts, known),
        (kin, _read(kin_goldens.GOLDEN)),
        (modernberts, _read(modernbert_goldens.GOLDEN)["shapes"]),
        (debertas, _read(deberta_goldens.GOLDEN)),
        (gtes, _read(gte_goldens.GOLDEN)),
        (jina_berts, _read(jina_bert_goldens.GOLDEN)),
    ]
    for module, goldens in encoders:
        for name, shape in module.GOLDEN_SHAPES.items():
            found = goldens[name]
            write = _writer(module, shape)
            wanted = _of_pairs(bert_goldens.pairs())
            yield Case(name, write, wanted, np.array(found["pairs"]))
            wanted = _of_pairs(bert_goldens.long_pairs())
            yield Case(f"{name}, longest", write, wanted, np.array(found["long"]))
    for name, shape in decoders.GOLDEN_SHAPES.items():
        found = _read(decoder_goldens.GOLDEN)[name]
        write = _writer(decoders, shape)
        wanted = _of_items(decoder_goldens.items())
        golden = np.array(found["pairs"])[:, None]
        yield Case(name, write, wanted, golden, True, decoder_goldens.WINDOW_TOKENS)
        wanted = _of_items(decoder_goldens.long_items())
        yield Case(f"{name}, longest", write, wanted, np.array(found["long"])[:, None], True)
    for name in widths.KIND_OF:
        yield Case(name + TRUE_WIDTH, None, width_requests(name), widths.golden(name))


def in_other_company(model: Model, rows: Sequence[Row], logits: Logits) -> float:
    """Largest change of a logit among ten random companies, in random order."""
    rng = np.random.default_rng(7)
    most = 0.0
    for _ in range(10):
        picked = rng.permutation(len(rows))[: rng.integers(1, 13)]
        again = model.engine.forward([rows[int(i)] for i in picked])
        most = max(most, float(np.abs(again - logits[picked]).max()))
    return most


def line(case: Case, engine: EngineName) -> str:
    """One row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        model = case.load(Path(folder), engine)
        rows = [row for each in case.requests for row in model.prepare(each).rows]
        logits = model.engine.forward(rows)
        company = in_other_company(model, rows, logits)
        model.engine.close()
    lengths = [row.tokens for row in rows]
    return (
        f"| {case.name} | {engine} | {len(rows)} | {min(lengths)} to {max(lengths)} "
        f"| {case.golden.std():.2f} | {np.abs(logits - case.golden).max():.1e} | {company:.1e} |"
    )


def table(only: Sequence[str] = ()) -> Iterator[str]:
    """The rows, one by one, as they are measured; `only` of checkpoints whose names start so."""
    has_torch = importlib.util.find_spec("torch") is not None
    for case in cases():
        if only and not case.name.startswith(tuple(only)):
            continue
        yield line(case, "openvino")
        if has_torch and not case.name.startswith(OPENVINO_ONLY):
            yield line(case, "torch")


def merged(page: str, rows: Sequence[str]) -> list[str]:
    """The rows of a page with these in their places, in the order of cases()."""
    known = [each for each in page.splitlines() if each.startswith("| ") and each != HEADER]
    found = {_key(each): each for each in (*known, *rows)}
    order = {case.name: i for i, case in enumerate(cases())}
    return sorted(
        (row for key, row in found.items() if key[0] in order),
        key=lambda row: (order[_key(row)[0]], _key(row)[1]),
    )


def _key(row: str) -> tuple[str, str]:
    """Checkpoint and engine of a row."""
    _, name, engine, *_ = (cell.strip() for cell in row.split("|"))
    return name, engine


HEAD = """# Parity

The table is made by `python bench/parity.py --write docs/parity.md`; do not edit it.

Each checkpoint has random weights of its architecture, and its logits were computed by torch
2.13.0 and transformers 5.23.0 (ettin, gemma, nemotron: 5.24.0 and sentence-transformers 6.2.0)
pair by pair, without padding (`tests/reference`). "Spread" is the
standard deviation of the reference's logits; "in another batch" is the largest change of a logit
when its row is scored again in another batch, in another order. fp32, CPU. The torch engine has
no DeBERTa-v2, no GTE, no JinaBERT, no Gemma, no cross-encoders of modules and no bidirectional
Llama.
"""

KEPT = "## Which reference"  # written by hand, from there on


def main() -> None:
    """Print the table; write the page where told."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    given = parser.parse_args()
    page: Path | None = given.write
    rule = "|" + "---|" * (HEADER.count("|") - 1)
    print(HEADER, rule, sep="\n")
    rows: list[str] = []
    for each in table(given.only):
        print(each, flush=True)
        rows.append(each)
    if page is not None:
        versions = f"{platform.machine()}, openvino {version('openvino')}, numpy {np.__version__}."
        table_before, _, kept = (
            page.read_text("utf-8").partition(KEPT) if page.exists() else ("", "", "")
        )
        rows = merged(table_before, rows) if given.only else rows
        lines = "\n".join((HEADER, rule, *rows))
        table_text = f"{HEAD}\n{versions}\n\n{lines}\n"
        page.write_text(f"{table_text}\n{KEPT}{kept}" if kept else table_text, encoding="utf-8")


if __name__ == "__main__":
    main()
