"""What a module logs the standard way comes out as a structured event."""

from __future__ import annotations

import json
import logging

import pytest
import structlog

from rerankd.telemetry.logs import configure_logging


def test_a_standard_record_is_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    ours, before = logging.getLogger("rerankd"), structlog.get_config()
    handlers, propagate = list(ours.handlers), ours.propagate
    try:
        configure_logging("json")
        logging.getLogger("rerankd.engines.graph_files").warning("%s is not used", "x.graph")
    finally:
        structlog.configure(**before)
        ours.handlers, ours.propagate = handlers, propagate
    [line] = capsys.readouterr().err.splitlines()
    found = json.loads(line)
    assert found["event"] == "rerankd.engines.graph_files"
    assert found["reason"] == "x.graph is not used"
    assert found["level"] == "warning"
