"""Writes the generated parts of pages: `uv run python tools/generate_docs.py`.

A part stands between `<!-- generated: NAME -->` and `<!-- end: NAME -->`; all else on a page is
written by hand. tests/docs/test_pages.py fails when a part is stale.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from rerankd.cli.commands import app
from rerankd.engines.precisions import OPENVINO
from rerankd.settings.reference import reference

DOCS = Path(__file__).parents[1] / "docs"


def settings_tables() -> str:
    """A table for each section of the settings."""
    parts: list[str] = []
    section = ""
    for row in reference():
        if row.section != section:
            section = row.section
            parts.append(
                f"## {section}\n\n| setting | default | variable | meaning |\n|---|---|---|---|\n"
            )
        variable = f"`{row.variable}`" if row.variable else ""
        parts.append(f"| `{row.name}` | `{row.default}` | {variable} | {row.meaning} |\n")
        if row.last:
            parts.append("\n")
    return "".join(parts).strip("\n")


def commands() -> str:
    """Every command with its arguments and flags, as `--help` shows them."""
    whole = app.generate_docs(heading_level=1)
    return whole[whole.index("## rerankd serve") :].strip("\n")


KINDS = {
    "bert": "BERT cross-encoders (MiniLM, mxbai v1)",
    "xlm-roberta": "XLM-R and RoBERTa cross-encoders (bge, bce, jina v2)",
    "electra": "ELECTRA cross-encoders",
    "distilbert": "DistilBERT cross-encoders",
    "modernbert": "ModernBERT cross-encoders (gte-reranker-modernbert)",
    "deberta-v2": "DeBERTa-v2 cross-encoders",
    "gte": "GTE cross-encoders (gte-multilingual)",
    "jina-bert": "JinaBERT cross-encoders (jina v1)",
    "llama-bidirectional": "Llama that is read as an encoder (nemotron)",
    "modules": "cross-encoders of modules (ettin)",
    "qwen3": "Qwen3 decoders",
    "qwen2": "Qwen2 decoders",
    "llama": "Llama decoders",
    "mistral": "Mistral decoders",
    "gemma": "Gemma decoders",
    "listwise": "listwise models (jina v3)",
    "colbert": "ColBERT models",
    "bi-encoder": "embedding models",
}


def precisions() -> str:
    """What each kind of model runs in on OpenVINO."""
    rows = [f"| {KINDS[kind]} | {', '.join(has)} |\n" for kind, has in OPENVINO.items()]
    return f"| kind | precisions |\n|---|---|\n{''.join(rows)}".strip("\n")


PARTS: dict[str, Callable[[], str]] = {
    "settings": settings_tables,
    "commands": commands,
    "precisions": precisions,
}
_PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end: \2 -->)", re.DOTALL)


def fresh(page: str) -> str:
    """The page with its generated parts made anew."""
    return _PART.sub(lambda found: f"{found[1]}\n{PARTS[found[2]]()}\n\n{found[3]}", page)


def pages() -> dict[Path, str]:
    """The pages that have generated parts, each as it should be."""
    texts = {path: path.read_text("utf-8") for path in sorted(DOCS.rglob("*.md"))}
    return {path: fresh(text) for path, text in texts.items() if _PART.search(text)}


if __name__ == "__main__":
    for where, text in pages().items():
        where.write_text(text, "utf-8")
