"""How far our logits are from those of torch and transformers, family by family, engine by engine.

    python bench/parity.py --write docs/parity.md

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
from tests.checkpoints import modernbert as modernberts
from tests.reference import make_bert_kin_goldens as kin_goldens
from tests.reference import make_deberta_goldens as deberta_goldens
from tests.reference import make_decoder_goldens as decoder_goldens
from tests.reference import make_goldens as bert_goldens
from tests.reference import make_gte_goldens as gte_goldens
from tests.reference import make_modernbert_goldens as modernbert_goldens
from tests.reference import make_width_goldens as widths

HEADER = (
    "| checkpoint | engine | rows | tokens | spread | max logit difference | in another batch |"
)
OPENVINO_ONLY = ("tiny-deberta", "deberta", "tiny-gte", "gte")
Goldens = npt.NDArray[np.float64]
Writer = Callable[[Path], Path]


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One checkpoint and what the reference says of it."""

    name: str
    write: Writer
    requests: Sequence[RerankRequest]
    golden: Goldens  # (pairs, K)
    decoder: bool = False
    window_tokens: int | None = None

    def load(self, folder: Path, engine: EngineName) -> Model:
        """On one engine, on the CPU, in fp32."""
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
    wide = _read(widths.GOLDEN)
    for name, write in widths.ENCODERS.items():
        golden = np.array(wide["encoders"][name])
        yield Case(f"{name}, true width", write, _of_pairs(widths.width_pairs()), golden)
    for name, write in widths.DECODERS.items():
        golden = np.array(wide["decoders"][name])[:, None]
        wanted = _of_items(widths.width_items())
        window = decoder_goldens.WINDOW_TOKENS
        yield Case(f"{name}, true width", write, wanted, golden, True, window)


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


def table() -> Iterator[str]:
    """The table, line by line, as it is measured."""
    has_torch = importlib.util.find_spec("torch") is not None
    yield HEADER
    yield "|" + "---|" * (HEADER.count("|") - 1)
    for case in cases():
        yield line(case, "openvino")
        if has_torch and not case.name.startswith(OPENVINO_ONLY):
            yield line(case, "torch")


HEAD = """# Parity

The table is made by `python bench/parity.py --write docs/parity.md`; do not edit it.

Each checkpoint has random weights of its architecture, and its logits were computed by torch
2.13.0 and transformers 5.23.0 pair by pair, without padding (`tests/reference`). "Spread" is the
standard deviation of the reference's logits; "in another batch" is the largest change of a logit
when its row is scored again in another batch, in another order. fp32, CPU. The torch engine has
no DeBERTa-v2 and no GTE.
"""

KEPT = "## Which reference"  # written by hand, from there on


def main() -> None:
    """Print the table; write the page where told."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path)
    page = parser.parse_args().write
    lines: list[str] = []
    for each in table():
        print(each, flush=True)
        lines.append(each)
    if page is not None:
        versions = f"{platform.machine()}, openvino {version('openvino')}, numpy {np.__version__}."
        kept = page.read_text("utf-8").partition(KEPT)[2] if page.exists() else ""
        table_text = f"{HEAD}\n{versions}\n\n" + "\n".join(lines) + "\n"
        page.write_text(f"{table_text}\n{KEPT}{kept}" if kept else table_text, encoding="utf-8")


if __name__ == "__main__":
    main()
