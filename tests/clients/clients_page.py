"""Writes the tables of docs/clients.md: `uv run --group dev python tests/clients/clients_page.py`.

From manners.json, which the run of the clients checks; versions are those of pins/, base URLs those
of the scripts. A test fails when the page is stale.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from listed import CLIENTS, Client  # noqa: E402 - siblings
from scripted import FAILURES, SCRIPTS  # noqa: E402

ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "clients.md"
START, END = "<!-- made by tests/clients/clients_page.py -->\n", "<!-- end -->\n"
FINAL = "504-final"
STATUSES = [name for name in SCRIPTS if name not in ("answer", FINAL) and "-" not in name]
RETRIES = """\
| client | version | asks again | `x-should-retry: false` | `Retry-After` with 429 | with 503 |
|---|---|---|---|---|---|
"""
NEEDS = """\
| client | base URL | asks | key | fields that arrive | that do not | not shown of the answer |
|---|---|---|---|---|---|---|
"""


def page() -> str:
    """The whole page with fresh tables."""
    before, _, rest = PAGE.read_text().partition(START)
    _, _, after = rest.partition(END)
    return before + START + tables() + END + after


def tables() -> str:
    """What is asked again; what is needed and lost."""
    manners: dict[str, Any] = json.loads((HERE / "manners.json").read_text())
    clients = [client for client in CLIENTS if client.has_manners]
    retries = "".join(_retries(client, manners[client.name]) for client in clients)
    needs = "".join(_needs(client, manners[client.name]) for client in clients)
    return f"{_sum(manners)}\n{RETRIES}{retries}\n## What they need and lose\n\n{NEEDS}{needs}"


def version(client: Client) -> str:
    """As pinned."""
    if not client.package:
        return "the JDK's"
    if client.environment == "javascript":
        pins: Any = json.loads((HERE / "pins" / "package.json").read_text())
        return f"{client.package} {pins['dependencies'][client.package]}"
    pinned = (HERE / "pins" / f"{client.environment}.txt").read_text()
    found = re.search(rf"^{re.escape(client.package)}==(\S+)", pinned, flags=re.MULTILINE)
    assert found, client.package
    return f"{client.package} {found[1]}"


def base(client: Client) -> str:
    """The path of the base URL that its script gives."""
    folder = "python" if client.script.endswith(".py") else client.environment
    source = (HERE / folder / client.script).read_text()
    if folder == "python":
        functions = {
            part.name: ast.get_source_segment(source, part) or ""
            for part in ast.parse(source).body
            if isinstance(part, ast.FunctionDef)
        }
        source = next((functions[a] for a in client.arguments if a in functions), functions["call"])
    below = re.search(r"\{base\}([\w/]+)|\bbase \+ \"([\w/]+)\"", source)
    if below:
        return client.prefix + (below[1] or below[2])
    if "base + BELOW" in source:  # it is an argument of the script
        return client.prefix + client.arguments[1] if len(client.arguments) > 1 else client.prefix
    return client.prefix


def _retries(client: Client, found: dict[str, Any]) -> str:
    by_count: dict[int, list[str]] = {}
    for name in STATUSES:
        by_count.setdefault(found["tries"][name], []).append(name)
    again = [
        f"{', '.join(names)}: {_count(tries)}" for tries, names in by_count.items() if tries > 1
    ]
    final, plain = found["tries"][FINAL], found["tries"]["504"]
    heeds = "" if plain == 1 else "heeded" if final == 1 else "no"
    waits = [found["retry-after"][status] for status in ("429", "503")]
    shown = ["" if said == "asks once" else said for said in waits]
    cells = [client.name, version(client), "; ".join(again) or "never", heeds, *shown]
    return f"| {' | '.join(cells)} |\n"


def _count(tries: int) -> str:
    return f"{tries} tries" if tries <= FAILURES else f"more than {FAILURES} tries"


def _needs(client: Client, found: dict[str, Any]) -> str:
    options: dict[str, str] = found["options"]
    arrive = [
        f"`{name}`" + ("" if path == name else f" as `{path}`")
        for name, path in options.items()
        if path not in ("dropped", "not taken")
    ]
    lost = [
        f"{how}: {', '.join(names)}"
        for how in ("dropped", "not taken")
        if (names := [f"`{name}`" for name, path in options.items() if path == how])
    ]
    asks = ", ".join(f"`{ask}`" for ask in found["asks"])
    cells = [
        client.name,
        f"`{base(client) or '/'}`" + ("" if found["keeps path"] else ", whose path it drops"),
        asks,
        ", ".join(f"`{key}`" for key in found["key"]),
        ", ".join(arrive),
        "; ".join(lost),
        ", ".join(f"`{path}`" for path in found["lost"]),
    ]
    return f"| {' | '.join(cells)} |\n"


def _sum(manners: dict[str, Any]) -> str:
    def said(status: str) -> int:
        return sum(found["retry-after"][status] == "yes" for found in manners.values())

    again = sum(found["tries"]["503"] > 1 for found in manners.values())
    return (
        f"Of {len(manners)} clients {again} ask again after a 503; {said('503')} wait for as long "
        f"as `Retry-After` says, {said('429')} after a 429.\n"
    )


if __name__ == "__main__":
    PAGE.write_text(page())
