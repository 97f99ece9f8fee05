"""Sends every case to a real server and to rerankd under its prefix, and says what differs.

    PYTHONPATH=. python -m tests.servers.compare SERVER PYTHON [--record]

SERVER is infinity, llamacpp or xinference, PYTHON the interpreter of its environment. Ends with 1
when an answer differs that has no reason in reasons.py, when a reason has no difference left, or
when an answer is not the recorded one (results/SERVER.json); --record writes that instead.
"""

from __future__ import annotations

import argparse
import http.client
import json
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.checkpoints import bert
from tests.servers.cases import CASES, OTHER_ORDER, PACKAGES, WITHOUT_KEYS, Case
from tests.servers.reasons import REASONS
from tests.servers.shape import alike, shape_of
from tests.servers.started import SERVERS, rerankd, version

HERE = Path(__file__).parent

PATIENCE_S = 120.0


def ask(base: str, case: Case, path: str, *, ordered: bool) -> dict[str, Any]:
    """The shape of the answer to one case."""
    where = urlsplit(base)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=PATIENCE_S)
    headers = case.sent_headers()
    if case.method in ("POST", "PUT"):
        headers["content-length"] = str(len(case.body))
    connection.putrequest(case.method, path, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders(case.body or None)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return shape_of(answer.status, answer.headers.get("content-type", ""), body, ordered=ordered)


def main() -> None:
    """Both sides, one after the other: the machine may be small."""
    parser = argparse.ArgumentParser()
    parser.add_argument("server", choices=sorted(SERVERS))
    parser.add_argument("python", type=Path)
    parser.add_argument("--record", action="store_true")
    chosen = parser.parse_args()
    name, path = chosen.server, HERE / "results" / f"{chosen.server}.json"
    ordered = name not in OTHER_ORDER
    with tempfile.TemporaryDirectory() as work:
        folder = bert.write(Path(work) / "tiny", bert.GOLDEN_SHAPES["tiny-bert"])
        with SERVERS[name](chosen.python, folder) as base:
            real = {
                case.name: ask(base, case, case.path_at(name), ordered=ordered) for case in CASES
            }
        with rerankd(folder, with_key=name not in WITHOUT_KEYS) as base:
            ours = {
                case.name: ask(base, case, f"/{name}{case.path_at(name)}", ordered=ordered)
                for case in CASES
            }
    found = {
        "version": f"{PACKAGES[name]} {version(chosen.python, PACKAGES[name])}",
        "answers": {
            case.name: {"real": real[case.name], "rerankd": ours[case.name]} for case in CASES
        },
    }
    wrong = judged(name, found)
    if chosen.record:
        path.parent.mkdir(exist_ok=True)
        path.write_text(written(found), encoding="utf-8")
    elif not path.exists() or json.loads(path.read_text(encoding="utf-8")) != found:
        wrong.append(f"not what is recorded in {path.name}; --record writes it anew")
    print("\n".join(wrong) or f"{name}: {len(CASES)} cases as expected")
    raise SystemExit(bool(wrong))


def written(found: dict[str, Any]) -> str:
    """The record, with a line for each case."""
    lines = [f"  {json.dumps(name)}: {json.dumps(both)}" for name, both in found["answers"].items()]
    head = f'{{\n "version": {json.dumps(found["version"])},\n "answers": {{\n'
    return head + ",\n".join(lines) + "\n }\n}\n"


def judged(name: str, found: dict[str, Any]) -> list[str]:
    """What is printed: each difference, and what is wrong with it."""
    wrong: list[str] = []
    reasons = {case: why for why, cases in REASONS[name].items() for case in cases}
    wrong += [f"{case}: no such case" for case in reasons.keys() - {case.name for case in CASES}]
    for case in CASES:
        sides = found["answers"][case.name]
        is_alike = alike(name, sides)
        why = reasons.get(case.name)
        if is_alike and why:
            wrong.append(f"{case.name}: no difference, but a reason: {why}")
        if not is_alike:
            print(f"== {case.name}: {why or 'NO REASON'}")
            print(f"  real    {sides['real']}\n  rerankd {sides['rerankd']}")
            if not why:
                wrong.append(f"{case.name}: differs without a reason")
    return wrong


if __name__ == "__main__":
    main()
