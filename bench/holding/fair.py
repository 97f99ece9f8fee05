"""40 clients of one key against 2 of another, equal requests: what each key gets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from .client import Answer, Clients
from .figures import percentile, statuses
from .process import serving
from .texts import Texts

MANY, FEW = 40, 2
_CONFIG = """
[[keys]]
name = "many"
key = "sk-many"
[[keys]]
name = "few"
key = "sk-few"
"""


async def measure(
    command: Sequence[str], seconds: float, *, documents: int = 20, model: str = "rerankd-mini"
) -> dict[str, Any]:
    """Requests served to each key within `seconds`, after a warm-up of a tenth of it.

    A client that is refused waits as long as Retry-After says.
    """
    with serving(command, model, config=_CONFIG) as server:
        texts = Texts(9)
        begin = time.monotonic() + seconds / 10
        end = begin + seconds
        clients = {name: Clients(server.port, key=f"sk-{name}") for name in ("many", "few")}
        found: dict[str, list[Answer]] = {"many": [], "few": []}

        async def client(name: str) -> None:
            while time.monotonic() < end:
                answer = await clients[name].post(texts.body(documents), give_up_s=120.0)
                if begin <= answer.sent_at + answer.taken_s < end:
                    found[name].append(answer)
                if answer.status != 200:
                    await asyncio.sleep(answer.retry_after_s or 1.0)

        names = ["many"] * MANY + ["few"] * FEW
        await asyncio.gather(*(client(name) for name in names))
        for each in clients.values():
            each.close()
    served = {name: [a for a in answers if a.status == 200] for name, answers in found.items()}
    return {
        "documents": documents,
        "statuses": {name: statuses(answers) for name, answers in found.items()},
        "served": {name: len(answers) for name, answers in served.items()},
        "ratio": len(served["many"]) / max(1, len(served["few"])),
        "p99_s": {
            name: percentile([a.taken_s for a in answers], 0.99) for name, answers in served.items()
        },
    }
