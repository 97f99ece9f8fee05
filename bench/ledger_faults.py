"""Whole servers under load: killed again and again, and their database away for a minute.

    uv run --group dev python bench/ledger_faults.py                    # SQLite, about 3 minutes
    .ci/with_postgresql uv run --group dev python bench/ledger_faults.py

Clients ask `rerankd serve` with rerankd-lexical and a store. Afterwards, when the next server has
started, every answer that a client got is in the ledger once, and `rerankd usage verify` has
status 0. Status 1 when not.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import httpx2

from tests.kit.faults import database_away, missing_and_doubled
from tests.kit.processes import Server, serving

KEY = "a-key-of-the-benchmark"
BODY = {"query": "the capital of France", "documents": ["Paris is in France.", "Bananas."]}
CLIENTS = 4


class Clients:
    """Callers that ask without a pause, and what they were told."""

    def __init__(self, url: str) -> None:
        self.acknowledged: list[str] = []
        self.statuses: dict[int, int] = {}
        self.slowest_s = 0.0
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(url,)) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _ask(self, url: str) -> None:
        with httpx2.Client(timeout=60) as client:
            while not self._ended.is_set():
                begin = time.perf_counter()
                try:
                    answer = client.post(
                        f"{url}/v1/rerank", json=BODY, headers={"authorization": f"Bearer {KEY}"}
                    )
                except httpx2.TransportError:
                    return  # the server is gone: it was told nothing
                self.slowest_s = max(self.slowest_s, time.perf_counter() - begin)
                self.statuses[answer.status_code] = self.statuses.get(answer.status_code, 0) + 1
                if answer.status_code == 200:
                    self.acknowledged.append(answer.headers["x-request-id"])

    def end(self) -> None:
        """Until each has what it waits for."""
        self._ended.set()
        for thread in self._threads:
            thread.join()


@contextlib.contextmanager
def server(config: Path) -> Generator[Server]:
    """`rerankd serve` with a store."""
    command = ["-m", "rerankd", "serve", "--port", "0", "--config", str(config)]
    with serving([*command, "--model", "rerankd-lexical"], log=config.with_suffix(".log")) as found:
        yield found


def main() -> int:
    """Print what was acknowledged, missing and doubled; 1 when anything is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--away-s", type=float, default=60.0)
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        at = os.environ.get("RERANKD_TEST_POSTGRESQL") or f"sqlite:///{folder}/store.db"
        config = folder / "rerankd.toml"
        url, cut, mend = stack.enter_context(database_away(at))
        config.write_text(
            f'[store]\nurl = "{url}"\njournal = "{folder}/journal"\n'
            f'[[keys]]\nname = "bench"\nkey = "{KEY}"\n'
            '[[price]]\nmodel = "rerankd-lexical"\nper_1m_input_tokens = "0.02"\n'
        )
        acknowledged: list[str] = []
        for n in range(options.kills):
            with server(config) as found:
                clients = Clients(found.url)
                time.sleep(0.3 + n % 5 * 0.2)
                found.process.send_signal(signal.SIGKILL)
                clients.end()
            acknowledged += clients.acknowledged
        print(json.dumps({"kills": options.kills, "acknowledged": len(acknowledged)}), flush=True)
        with server(config) as found:
            clients = Clients(found.url)
            time.sleep(1)
            cut()
            time.sleep(options.away_s)
            during = dict(clients.statuses)
            mend()
            time.sleep(1)
            clients.end()
            found.stop()
        acknowledged += clients.acknowledged
        with server(config) as found:  # brings what the last one left in its journal into the store
            found.stop()
        away = {"s": options.away_s, "statuses": during, "slowest_s": clients.slowest_s}
        missing, doubled = missing_and_doubled(url, acknowledged)
        command = [sys.executable, "-m", "rerankd", "usage", "verify", "--config", str(config)]
        verified = subprocess.run(  # noqa: S603 - our own command
            command, check=False, stdout=subprocess.DEVNULL
        ).returncode
        print(
            json.dumps(
                {
                    "database": url.partition(":")[0],
                    "away": away,
                    "acknowledged": len(acknowledged),
                    "missing": missing,
                    "doubled": doubled,
                    "verify": verified,
                }
            )
        )
        return int(bool(missing or doubled or verified))


if __name__ == "__main__":
    sys.exit(main())
