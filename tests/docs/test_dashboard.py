"""deploy/grafana/rerankd.json against the metrics that a server has, and how each may be asked."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import Any, Final

import pytest
from prometheus_client.parser import text_string_to_metric_families
from reading import DOCS, ROOT

from rerankd.core.facts import BackendFacts, WorkerFacts
from rerankd.core.names import Names
from rerankd.telemetry.ledger import LedgerMetrics
from rerankd.telemetry.metrics import Metrics

BOARD: Final[dict[str, Any]] = json.loads((ROOT / "deploy/grafana/rerankd.json").read_text("utf-8"))
PANELS: Final[list[dict[str, Any]]] = BOARD["panels"]
SHOWN: Final = [panel for panel in PANELS if panel["type"] != "row"]
QUERIES: Final = [target["expr"] for panel in SHOWN for target in panel["targets"]]
_SELECTED: Final = re.compile(r"(rerankd_\w+)(?:\{(.*?)\})?")
_ADDED_BY: Final = {"instance", "job", "le"}  # Prometheus, or the kind of metric


def exposed() -> dict[str, str]:
    """What /metrics has, with a store and workers: name of a sample -> kind of its family."""
    metrics = Metrics()
    metrics.use_ledger(LedgerMetrics(lambda: (0, 0.0), lambda: 0))
    facts = BackendFacts(
        models=(),
        names=Names(),
        request_tokens=1,
        queue_tokens=1,
        tokenizers=1,
        workers=(WorkerFacts(number=1, state="running"),),
    )
    text = metrics.render(facts, in_flight=0)[0].decode()
    found: dict[str, str] = {}
    for family in text_string_to_metric_families(text):
        ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
        for end in ends.get(family.type, ("",)):
            found[family.name + end] = family.type
    return found


def labels() -> dict[str, set[str]]:
    """By name of a family, as docs/operating.md has them, which is held to a running server."""
    rows = re.findall(
        r"^\| `(rerankd_\w+)` \| \w+ \|([^|]*)\|",
        (DOCS / "operating.md").read_text("utf-8"),
        re.MULTILINE,
    )
    return {name: set(re.findall(r"`(\w+)`", cell)) for name, cell in rows}


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_asks_for_what_there_is(query: str) -> None:
    known, named = exposed(), labels()
    selected = _SELECTED.findall(query)
    assert selected
    has = set(_ADDED_BY)
    for name, matchers in selected:
        assert name in known, name
        family = re.sub(r"_(bucket|sum|count)$", "", name) if known[name] == "histogram" else name
        own = named.get(family, set()) | _ADDED_BY
        assert set(re.findall(r"(\w+)(?:=~|!=|=)", matchers)) <= own, name
        has |= own
        asked = rf"(rate|increase)\({name}(\{{.*?\}})?\["
        assert (known[name] != "gauge") == bool(re.search(asked, query)), name
    for grouped in re.findall(r"by \(([^)]*)\)", query):
        assert set(grouped.split(", ")) <= has, grouped
    assert ("histogram_quantile" in query) == ("_bucket" in query)
    assert query.count("(") == query.count(")")


def test_a_legend_names_what_its_query_keeps() -> None:
    for panel in SHOWN:
        for target in panel["targets"]:
            kept = {
                name
                for by in re.findall(r"by \(([^)]*)\)", target["expr"])
                for name in by.split(", ")
            }
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= kept, panel["title"]


def test_panels_lie_beside_each_other_and_take_the_chosen_source() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    cells = [
        {(x, y) for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])}
        for p in (panel["gridPos"] for panel in PANELS)
    ]
    assert all(0 <= x < 24 for taken in cells for x, _ in taken)
    assert not any(one & other for one, other in combinations(cells, 2))
    sources = {target["datasource"]["uid"] for panel in SHOWN for target in panel["targets"]}
    assert sources == {"${datasource}"}
    variables = {each["name"]: each for each in BOARD["templating"]["list"]}
    assert {name for query in QUERIES for name in re.findall(r'"\$(\w+)"', query)} <= set(variables)
    known = exposed()
    for each in ("instance", "model"):
        found = re.fullmatch(r"label_values\((\w+), (\w+)\)", variables[each]["definition"])
        assert found is not None
        assert found[1] in known
        assert found[2] in labels()[found[1]] | _ADDED_BY
