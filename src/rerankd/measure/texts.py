"""Real text to measure with: from a folder, or the documentation inside Python's own library."""

from __future__ import annotations

import ast
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from rerankd.core.errors import StartError
from rerankd.measure.collection import read_documents

_SUFFIXES = (".txt", ".md", ".rst")


def read_texts(folder: Path) -> list[str]:
    """Every text below a folder: docs.jsonl or docs.jsonl.gz of collections, else text files.

    Raises:
        StartError: there is none, or a file cannot be read.
    """
    collections = {p.parent for p in (*folder.rglob("docs.jsonl"), *folder.rglob("docs.jsonl.gz"))}
    texts = [text for path in sorted(collections) for text in read_documents(path).values()]
    if not texts:
        files = sorted(p for p in folder.rglob("*") if p.suffix in _SUFFIXES and p.is_file())
        texts = [path.read_text("utf-8", errors="replace") for path in files]
    if not any(text.strip() for text in texts):
        raise StartError(
            f"{folder}: no text. docs.jsonl ({{id, text}} lines) or {', '.join(_SUFFIXES)} files "
            "are read."
        )
    return texts


def standard_library() -> list[str]:
    """Docstrings of this Python's standard library: English prose that every machine has.

    Raises:
        StartError: this Python comes without its sources.
    """
    texts = list(docstrings())
    if not any(texts):
        raise StartError("This Python has no sources to take text from; give --texts DIR.")
    return texts


def docstrings() -> Iterator[str]:
    """The same, module by module as they are asked for; none without sources."""
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                yield ast.get_docstring(node) or ""
