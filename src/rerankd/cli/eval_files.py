"""The files of `rerankd eval --run-out`: TREC runs, and every query's values."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from rerankd.core.errors import StartError
from rerankd.measure.evaluation import Outcome
from rerankd.measure.trec import trec_run, trec_values


@dataclass(slots=True)
class Files:
    """Where rankings and values go as soon as a system is measured on a set."""

    folder: Path | None
    per_query: bool
    written: dict[str, str] = field(default_factory=dict[str, str])  # file -> system

    @classmethod
    def of(cls, folder: Path | None, *, runs_are_given: bool, per_query: bool) -> Self:
        """Check the flags, and that the folder can be written to, before anything is measured.

        Raises:
            StartError: flags that do not go together, or a folder that cannot be made.
        """
        if per_query and folder is None:
            raise StartError("--per-query writes beside the runs: add --run-out DIR.")
        if folder is not None and runs_are_given and not per_query:
            raise StartError("--run-out: the runs are files already; add --per-query for values.")
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StartError(f"Cannot write {folder}: {error.strerror}.") from None
        return cls(folder, per_query)

    def keep(self, outcome: Outcome) -> None:
        """Write what a system ranked and what it is worth. Raises StartError."""
        if self.folder is None:
            return
        for number, ranked in enumerate(outcome.orders, 1):
            seed = f"-{number}" if len(outcome.orders) > 1 else ""
            lines = (trec_run(qid, found, outcome.system) for qid, found in ranked.items())
            self._write(self.folder, outcome, f"{seed}.run", "".join(lines))
        if self.per_query:
            text = trec_values(outcome.values, outcome.queries)
            self._write(self.folder, outcome, ".eval", text)

    def _write(self, folder: Path, outcome: Outcome, ending: str, text: str) -> None:
        stem = re.sub(r"[^\w.=,-]+", "_", f"{outcome.set}.{outcome.system}")
        path = folder / f"{stem}{ending}"
        other = self.written.setdefault(path.name, outcome.system)
        if other != outcome.system:
            raise StartError(f"{path}: {other} and {outcome.system} would write the same file.")
        try:
            path.write_text(text, "utf-8")
        except OSError as error:
            raise StartError(f"Cannot write {path}: {error.strerror}.") from None
