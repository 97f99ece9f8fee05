"""What a request that fails leaves of its key's TPM: decision 4."""

from __future__ import annotations

from collections.abc import Sequence

from rerankd.core.rows import Logits, Row
from rerankd.engines.fake import FakeEngine
from tests.kit.support import BytesModel, body, running, stop_rates

KEYS = {"keys": [{"name": "tpm", "key": "sk-tpm", "tpm": 10}]}  # body() has 7 tokens
HEADERS = {"authorization": "Bearer sk-tpm"}


class Failing(FakeEngine):
    """Fails until it is told not to."""

    fails = True

    def forward(self, batch: Sequence[Row]) -> Logits:
        if self.fails:
            raise RuntimeError("broken")
        return super().forward(batch)


async def test_the_tokens_of_a_request_that_the_engine_failed_stay_charged() -> None:
    """The engine worked on them: a request that breaks it is not free to send again and again."""
    engine = Failing(max_length=None)
    async with running(KEYS, model=BytesModel(engine=engine)) as (client, state):
        stop_rates(state)
        failed = await client.post("/v1/rerank", json=body(), headers=HEADERS)
        engine.fails = False
        after = await client.post("/v1/rerank", json=body(), headers=HEADERS)
    assert failed.status_code == 500
    assert (after.status_code, after.headers["retry-after"]) == (429, "24")
