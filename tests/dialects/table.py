"""Writes the table of docs/dialects/README.md: `uv run --group dev python tests/dialects/table.py`.

Nothing in it is written by hand: fields are sent to the dialect (honoured.py), bodies are those of
tests/wire, clients those of tests/clients/results.json, which the run of the clients checks. A test
fails when the table is stale.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from honoured import HONOURED, READ, REFUSED, effects

from rerankd.dialects.base import AnyEndpoint
from rerankd.dialects.registry import SERVED

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "dialects" / "README.md"
START, END = "<!-- made by tests/dialects/table.py -->\n", "<!-- end -->\n"
HEAD = """\
| dialect | fields honoured | refused | read only | recorded answers | errors | real clients |
|---|---|---|---|---|---|---|
"""


def page() -> str:
    """The whole page with a fresh table."""
    before, _, rest = PAGE.read_text().partition(START)
    _, _, after = rest.partition(END)
    return before + START + table() + END + after


def table() -> str:
    """A row for each dialect, and what they add up to."""
    recorded, clients = _recorded(), _clients()
    rows = [
        _row(found, recorded[found.name], clients.get(found.name, [])) for found in SERVED.served
    ]
    return HEAD + "".join(rows) + "\n" + _sum(clients)


def _row(dialect: AnyEndpoint, recorded: Counter[str], clients: list[str]) -> str:
    done = effects(dialect)
    page = dialect.prefix or dialect.name
    cells = [
        f"[{dialect.name}]({page}.md)",
        f"{_count(done, HONOURED)} of {len(done)}",
        _names(done, REFUSED),
        _names(done, READ),
        f"{recorded['answer']} + {recorded['error']}",
        ", ".join(str(status) for status in sorted(dialect.errors)),
        "; ".join(clients) or "none",
    ]
    return f"| {' | '.join(cells)} |\n"


def _count(done: dict[str, str], what: str) -> int:
    return sum(effect == what for effect in done.values())


def _names(done: dict[str, str], what: str) -> str:
    return ", ".join(f"`{name}`" for name, effect in done.items() if effect == what)


def _recorded() -> dict[str, Counter[str]]:
    """Dialect -> how many bodies of tests/wire are an answer, how many an error."""
    found = {dialect.name: Counter[str]() for dialect in SERVED.served}
    routes = {route.path: route for route in SERVED.routes}
    for path in sorted((ROOT / "tests" / "wire").glob("*/*.json")):
        record: Any = json.loads(path.read_text())
        name = path.parent.name
        if "path" in record:
            raw = json.dumps(record["request"]).encode()
            name = _route(routes, record["path"]).by_body(record.get("headers", {}), raw).name
        found[name]["answer" if record["expect"]["status"] == 200 else "error"] += 1
    return found


def _route(routes: dict[str, Any], path: str) -> Any:
    """The route of a path, whose `{model}` may stand for anything."""
    if path in routes:
        return routes[path]
    starts = [known for known in routes if "{" in known and path.startswith(known.split("{")[0])]
    return routes[max(starts, key=len)]


def _clients() -> dict[str, list[str]]:
    """Dialect -> the clients that it answered and that passed with a right and with a wrong key."""
    results: Any = json.loads((ROOT / "tests" / "clients" / "results.json").read_text())
    found: dict[str, list[str]] = {}
    for name, result in results.items():
        if result["passed"] == ["right", "wrong"]:
            for dialect in result["dialects"]:
                found.setdefault(dialect, []).append(name)
    return found


def _sum(clients: dict[str, list[str]]) -> str:
    passed = {name for names in clients.values() for name in names}
    fields = [effects(found) for found in SERVED.served]
    every, honoured = sum(map(len, fields)), sum(_count(done, HONOURED) for done in fields)
    return (
        f"{len(SERVED.served)} formats; {honoured} of {every} fields honoured; {len(passed)} "
        "clients pass with a right key and with a wrong one.\n"
    )


if __name__ == "__main__":
    PAGE.write_text(page())
