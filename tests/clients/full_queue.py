"""Real clients and a real server whose queue is full: 503 with Retry-After, an answer later.

A long request fills the queue; then each client is run against it as run.py runs it. It passes
if the server's log has a 503 of its key, then a 200, and its answer is right.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

import httpx2  # noqa: E402
from listed import CLIENTS, Client  # noqa: E402 - siblings

from tests.kit.live import PATIENCE_S, metric, until  # noqa: E402
from tests.kit.processes import serving  # noqa: E402

NAMES = ("together",)  # they wait for as long as they are told
ROWS = 60  # of the long request: six seconds
LIMITS = 'models = ["rerankd-lexical"]\n[server]\nlog = "json"\n[limits]\nqueue_tokens = 60\n'
FILLER, ASKING = "sk-filler-00000000", "sk-asking-00000000"
KEYS = "".join(f'[[keys]]\nname = "{k[3:9]}"\nkey = "{k}"\n' for k in (FILLER, ASKING))


def failures(run: Callable[[Client, dict[str, Any]], dict[str, Any]]) -> list[str]:
    """Why a client did not come through, one line each; prints what each was answered.

    Args:
        run: a client's script with what it is given, as in run.py; its outcome.
    """
    found = [_failure(client, run) for client in CLIENTS if client.name in NAMES]
    return [why for why in found if why]


def _failure(client: Client, run: Callable[[Client, dict[str, Any]], dict[str, Any]]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        config, log = Path(folder) / "rerankd.toml", Path(folder) / "log"
        config.write_text(LIMITS + KEYS)
        with serving([str(HERE / "slow_lexical.py"), str(config)], log=log) as server:
            filler = threading.Thread(target=_fill, args=(server.url,))
            filler.start()
            until(lambda: metric(server.url, "rerankd_queue_tokens") > 0)
            given = {"base": server.url + client.prefix, "key": ASKING, "model": "rerankd-lexical"}
            outcome = run(client, given)
            filler.join(PATIENCE_S)
        events: list[Any] = [
            json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")
        ]
    said = [e["status"] for e in events if e.get("event") == "rerank" and e["key"] == "asking"]
    print(f"full queue, {client.name}: {said}")
    if outcome["right"] or said[0] != 503 or said[-1] != 200:
        return f"{client.name}: {said} {outcome['right']}"
    return ""


def _fill(url: str) -> None:
    documents = [f"word {n}" for n in range(ROWS)]
    httpx2.post(
        f"{url}/v1/rerank",
        json={"query": "word", "documents": documents},
        headers={"authorization": f"Bearer {FILLER}"},
        timeout=PATIENCE_S,
    )
