"""Writes what `compare.py` recorded into the dialects' pages.

Run it as `PYTHONPATH=. python -m tests.servers.table`; a test fails when a page is stale.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.servers.cases import CASES
from tests.servers.reasons import REASONS

HERE = Path(__file__).parent
PAGES = HERE.parents[1] / "docs" / "dialects"
START, END = "<!-- made by tests/servers/table.py -->\n", "<!-- end -->\n"


def recorded(name: str) -> dict[str, Any]:
    """What was found when the real server was last asked."""
    found = (HERE / "results" / f"{name}.json").read_text(encoding="utf-8")
    return json.loads(found)


def page(name: str) -> str:
    """A dialect's page with a fresh table."""
    text = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    return before + START + table(name) + END + rest.partition(END)[2]


def table(name: str) -> str:
    """One row for each reason: which requests, the statuses of both sides, why they differ."""
    found = recorded(name)
    same = len(CASES) - sum(len(cases) for cases in REASONS[name].values())
    said = (
        f"Of {len(CASES)} requests (tests/servers) {same} get the same status and JSON from "
        f"{found['version']} and here. The others:\n\n"
    )
    rows = [said, "| requests | there | here | why |\n|---|---|---|---|\n"]
    for why, cases in REASONS[name].items():
        sides = [
            ", ".join(dict.fromkeys(str(found["answers"][case][side]["status"]) for case in cases))
            for side in ("real", "rerankd")
        ]
        asked = "; ".join(case.replace("|", "\\|") for case in cases)
        rows.append(f"| {asked} | {sides[0]} | {sides[1]} | {why} |\n")
    return "".join(rows)


def main() -> None:
    """Write all three."""
    for name in REASONS:
        (PAGES / f"{name}.md").write_text(page(name), encoding="utf-8")


if __name__ == "__main__":
    main()
