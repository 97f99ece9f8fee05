"""docs/capacity.md: its arithmetic, its metrics, and figures that are on the pages it names."""

from __future__ import annotations

import math
import re

from reading import DOCS, ROOT, prose

PAGE = prose(DOCS / "capacity.md")
ROOM = 0.7
FRONT_S = 0.45e-3


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without its first row."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line.strip() for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in lines[2:]]


def rates() -> dict[str, float]:
    """Documents per core and second, by model and precision."""
    table = rows("Documents per core and second")
    return {f"{row[0]} {row[1]}": float(row[3]) for row in table}


def number(cell: str) -> int:
    return int(cell.split(" of ", maxsplit=1)[0].replace(",", ""))


def test_the_sums_are_right() -> None:
    known = rates()
    by_load = {
        "1 request a second, 100 new documents": known["`rerankd-multi`, new, English int8"],
        "10 a second, 20 new ones behind `rerankd-lexical`": known["XLM-R base int8"],
        "1,000 a second, 50 remembered": known["`rerankd-multi`, remembered int8"],
        "100,000 a second, 10 remembered": known["`rerankd-multi`, remembered int8"],
        "100,000 a second, 50 new ones": known["MiniLM-L6 int8"],
    }
    table = rows("From one core to 100,000 requests a second")
    assert [row[0] for row in table] == list(by_load)
    for load, documents, _, cores, fronts in table:
        requests = number(load.split(" ")[0])
        a_request = [int(word) for word in re.findall(r"(\d+) (?:new|remembered)", load)][-1]
        assert number(documents) == requests * a_request
        needed = number(documents) / by_load[load] / ROOM
        assert math.isclose(number(cores), math.ceil(needed), rel_tol=0.01)
        assert number(fronts) == max(1, math.ceil(requests * FRONT_S / ROOM))


def test_rates_are_those_of_the_benchmarks() -> None:
    benchmarks, known = prose(DOCS / "benchmarks.md"), rates()
    for name, title, precision in (
        ("MiniLM-L6 int8", "MiniLM-L6, long-tailed lengths", "int8"),
        ("MiniLM-L6 fp32", "MiniLM-L6, long-tailed lengths", "fp32"),
        ("XLM-R base int8", "XLM-R base, long-tailed lengths", "int8"),
        ("XLM-R base fp32", "XLM-R base, long-tailed lengths", "fp32"),
    ):
        section = benchmarks.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
        [per_cpu_s] = re.findall(
            rf"^\| rerankd {precision} \| [^|]+\| ([\d.]+)", section, re.MULTILINE
        )
        assert math.isclose(known[name], float(per_cpu_s), rel_tol=0.01)
    [front_ms] = re.findall(r"server CPU ms per request, 32 clients \| ([\d.]+)", benchmarks)
    assert math.isclose(FRONT_S * 1000, float(front_ms), rel_tol=0.01)


def test_its_metrics_are_those_that_operating_lists() -> None:
    named = set(re.findall(r"`(rerankd_\w+)", PAGE))
    listed = set(re.findall(r"^\| `(rerankd_\w+)`", prose(DOCS / "operating.md"), re.MULTILINE))
    # Those of a store are not in that table: a server without one does not show them.
    stored = (ROOT / "src" / "rerankd" / "telemetry" / "ledger.py").read_text()
    listed |= set(re.findall(r'"(rerankd_ledger_\w+)"', stored))
    assert named
    assert named <= listed
