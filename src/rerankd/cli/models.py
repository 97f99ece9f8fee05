"""`rerankd models` and `rerankd pull`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.table import Table
from rich.text import Text

from rerankd.cli.terminal import Bar, console, size
from rerankd.core.errors import StartError
from rerankd.measure import estimate
from rerankd.measure.catalog_facts import FACTS, RECOMMENDED
from rerankd.measure.proofs import Proof, proof_of, recipe_of
from rerankd.models import catalog, hub

_SLOWEST = 0.1  # documents a second that are told apart
_LEGEND = """
here: no = `rerankd pull NAME`, or give a folder to --model. download: about, unless it is here.
memory: about, in fp32 on the CPU; pages of the weights' file come on top, the system may drop them.
docs/s: documents of {words} words a second on this machine's CPU. What ships inside is measured;
  ~ is estimated for fp32 from how fast matrices are multiplied here now; `rerankd bench` measures.
quality: percent; only equal names compare. own: docs/quality.md. MTEB-en: English nDCG@10.
  MTEB-R, MMTEB-R: Qwen's card, English and multilingual. DL19: TREC 2019. BEIR: its own card."""
_WIDE = 150  # columns; below, licence, languages and quality go under the name


class _Model(msgspec.Struct):
    """A line of `rerankd models --json`."""

    model: str
    default: bool
    here: bool
    family: str
    parameters: int
    download_bytes: int  # about; 0 = ships inside
    memory_bytes: int  # about
    documents_per_s: float
    documents_per_s_is: str  # "measured" or "estimated"
    window_tokens: int | None
    score: str  # of `relevance_score`: "sigmoid", "raw", …
    recipe: str  # how query and document become a row
    proven: Proof
    licence: str
    languages: str
    quality: dict[str, float]
    modalities: list[str]
    needs_torch: bool


def models(*, json: Annotated[bool, Parameter(negative=())] = False) -> None:
    """List the catalog: what can be served by name, how large, how fast here, how good.

    Parameters
    ----------
    json
        Print JSON lines, with everything that is known, instead of a table.
    """
    with Bar() as bar:
        bar.step("measuring this machine", 0, None)
        rows = _rows()
    if json:
        for row in rows:
            sys.stdout.buffer.write(msgspec.json.encode(row) + b"\n")
        sys.stdout.flush()
        return
    out = console()
    out.print(_table(rows, wide=out.width >= _WIDE))
    out.print()
    for line in _notes():
        out.print(Text(line))


def pull(name: str, /) -> None:
    """Download a model's weights into the local Hugging Face cache.

    Parameters
    ----------
    name
        A catalog name, or owner/name of any cross-encoder of a family that rerankd serves.
    """
    entry = catalog.find(name)
    if entry is not None and entry.ships_inside:
        print(f"{entry.name} comes with a package: nothing to download. {catalog.how_to_get(name)}")
        return
    repository = entry.name if entry else name
    with Bar() as bar:
        bar.step("asking for the files", 0, None)
        folder = hub.pull(repository, lambda done, of: bar.bytes("downloading", done, of))
    print(f"{repository} is in {folder}")
    if entry is not None and entry.needs_torch:
        print(f"It runs on torch: {catalog.TORCH}")
    print(f"Serve it: rerankd serve --model {repository}")


def _rows() -> list[_Model]:
    gflops = estimate.machine_gflops()
    rows: list[_Model] = []
    for entry in catalog.ENTRIES:
        facts, folder = FACTS[entry.name], _folder(entry)
        is_missing = entry.ships_inside and not entry.is_here
        if facts.cost is not None:
            speed = estimate.estimated(facts.cost, gflops)
        else:
            speed = 0.0 if is_missing else estimate.measured(entry.name)
        size = sum(p.stat().st_size for p in folder.glob("*.safetensors")) if folder else 0
        rows.append(
            _Model(
                model=entry.name,
                default=entry.name == catalog.DEFAULT,
                here=entry.is_here or folder is not None,
                family=entry.family.name,
                parameters=facts.parameters,
                download_bytes=0 if entry.ships_inside else size or facts.download_bytes,
                memory_bytes=facts.memory_bytes,
                documents_per_s=round(speed, 2),
                documents_per_s_is="measured" if facts.cost is None else "estimated",
                window_tokens=entry.window_tokens,
                score=entry.activation.name,
                recipe=recipe_of(entry),
                proven=proof_of(entry),
                licence=facts.licence,
                languages=facts.languages,
                quality=dict(facts.quality),
                modalities=sorted(entry.family.modalities),
                needs_torch=entry.needs_torch,
            )
        )
    return rows


def _folder(entry: catalog.CatalogEntry) -> Path | None:
    """Where its weights are on this machine; None = they are not, or ship inside."""
    if entry.ships_inside:
        return None
    try:
        return hub.cached_folder(entry.name)
    except StartError:
        return None


def _table(rows: Sequence[_Model], *, wide: bool) -> Table:
    # the longest name of the catalog has just room in 80 columns
    table = Table(box=None, pad_edge=False, collapse_padding=not wide)
    table.add_column("model", overflow="fold")
    for heading in ("here", "download" if wide else "weights", "memory", "docs/s"):
        table.add_column(heading, justify="left" if heading == "here" else "right", no_wrap=True)
    if wide:
        for heading in ("licence", "languages", "quality"):
            table.add_column(heading)
    for row in rows:
        quality = ", ".join(f"{name} {value:.1f}" for name, value in row.quality.items())
        about = [row.licence, row.languages, quality or "not known"]
        name = Text(row.model)
        if row.default:
            name.append(" (default)")
        if not wide:
            name.append(f"\n  {row.licence} · languages: {row.languages}", style="dim")
            name.append(f"\n  {quality}" if quality else "", style="dim")
        table.add_row(
            name,
            "yes" if row.here else "no",
            size(row.download_bytes) if row.download_bytes else "none",
            size(row.memory_bytes),
            _speed(row),
            *(about if wide else ()),
        )
    return table


def _speed(row: _Model) -> str:
    speed = row.documents_per_s
    if speed < _SLOWEST:
        return f"<{_SLOWEST}"
    about = "" if row.documents_per_s_is == "measured" else "~"
    return f"{about}{speed:.{0 if speed >= 10 else 1}f}"


def _notes() -> list[str]:
    width = max(len(wanted) for wanted, _ in RECOMMENDED)
    return [
        "Which one?",
        *(f"  {wanted:<{width}}  {name}" for wanted, name in RECOMMENDED),
        "Which is best on your own documents, `rerankd eval` measures.",
        *_LEGEND.format(words=estimate.WORDS).splitlines(),
    ]
