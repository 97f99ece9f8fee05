"""One record per request: its log line and its metrics have every number of it."""

from __future__ import annotations

from structlog.testing import capture_logs

from rerankd.core.cost import Cost
from rerankd.core.facts import BackendFacts, ModelFacts
from rerankd.core.names import Names
from rerankd.telemetry.logs import log_request
from rerankd.telemetry.metrics import Metrics
from rerankd.telemetry.record import RequestRecord

COST = Cost(
    documents=3,
    pairs=4,
    input_tokens=50,
    cached_tokens=6,
    image_tokens=70,
    media=8,
    media_bytes=90,
    media_s=0.0101234,
    prepare_s=0.0112346,
    queue_s=0.012,
    engine_s=0.013,
)
RECORD = RequestRecord(
    request_id="r1",
    path="/v1/rerank",
    client="192.0.2.0/24",
    agent="test",
    dialect="tei",
    key="first",
    asked="alias",
    model="m",
    status=200,
    error="",
    body_bytes=100,
    cost=COST,
    total_s=1.5,
)


def test_the_log_line() -> None:
    with capture_logs() as lines:
        log_request(RECORD)
    assert list(lines[0].items()) == [
        ("request_id", "r1"),
        ("path", "/v1/rerank"),
        ("client", "192.0.2.0/24"),
        ("agent", "test"),
        ("dialect", "tei"),
        ("key", "first"),
        ("asked", "alias"),
        ("model", "m"),
        ("status", 200),
        ("error", ""),
        ("documents", 3),
        ("pairs", 4),
        ("input_tokens", 50),
        ("cached_tokens", 6),
        ("body_bytes", 100),
        ("media", 8),
        ("media_bytes", 90),
        ("media_ms", 10.123),
        ("prepare_ms", 11.235),
        ("queue_ms", 12.0),
        ("engine_ms", 13.0),
        ("total_ms", 1500.0),
        ("event", "rerank"),
        ("log_level", "info"),
    ]


def test_the_metrics_of_one_request() -> None:
    metrics = Metrics()
    metrics.observe(RECORD)
    text, _ = metrics.render(
        BackendFacts(
            models=(
                ModelFacts(name="later", root="later"),
                ModelFacts(
                    name="m",
                    root="m",
                    state="ready",
                    engine="openvino",
                    device="cpu",
                    precision="int8",
                    space="m@1/cross-encoder-512/int8",
                    waiting_tokens=11,
                    backlog_s=1.25,
                    tokens_per_s=12.5,
                    cache_bytes=13,
                ),
            ),
            names=Names(models=("later", "m")),
            request_tokens=1,
            queue_tokens=1,
            tokenizers=1,
            media_bytes={"encoded": 14, "decoded": 15},
        ),
        in_flight=16,
    )
    lines = text.decode().splitlines()
    for line in (
        'rerankd_requests_total{dialect="tei",model="m",status="200"} 1.0',
        'rerankd_key_input_tokens_total{key="first"} 50.0',
        'rerankd_documents_total{model="m"} 3.0',
        'rerankd_input_tokens_total{model="m"} 50.0',
        'rerankd_cached_tokens_total{model="m"} 6.0',
        'rerankd_media_total{model="m"} 8.0',
        'rerankd_media_seconds_sum{model="m"} 0.0101234',
        'rerankd_queue_seconds_sum{model="m"} 0.012',
        'rerankd_engine_seconds_sum{model="m"} 0.013',
        'rerankd_request_seconds_sum{model="m"} 1.5',
        'rerankd_queue_tokens{model="m"} 11.0',
        (
            'rerankd_model_info{device="cpu",engine="openvino",model="m",precision="int8",'
            'space="m@1/cross-encoder-512/int8"} 1.0'
        ),
        'rerankd_backlog_seconds{model="m"} 1.25',
        'rerankd_tokens_per_second{model="m"} 12.5',
        'rerankd_score_cache_bytes{model="m"} 13.0',
        'rerankd_media_held_bytes{form="encoded"} 14.0',
        'rerankd_media_held_bytes{form="decoded"} 15.0',
        "rerankd_requests_in_flight 16.0",
    ):
        assert line in lines
    assert "later" not in text.decode()
