"""SIGTERM and Ctrl-C in real processes: what was accepted is answered, and the status is 0."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from rerankd.web.stopping import SAME_SIGNAL_S, Stopping
from tests.kit.live import SLOW, Log, in_flight, rank, until
from tests.kit.processes import PATIENCE_S, Server, serving, starting
from tests.kit.slow_server import RAISES

LONG = {"RERANKD_LIMITS_DRAIN_S": "3600"}  # PATIENCE_S ends first
STOPS = [signal.SIGTERM, signal.SIGINT]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "log")


@contextlib.contextmanager
def running(server: Server, tokens: int) -> Generator[ThreadPoolExecutor]:
    """Two requests in progress whose answers must be 200."""
    with ThreadPoolExecutor(2) as pool:
        posted = [pool.submit(rank, server.url, tokens) for _ in range(2)]
        until(lambda: in_flight(server.url) == 2)
        yield pool
        assert [answer.result().status_code for answer in posted] == [200, 200]


def test_a_signal_that_comes_again_at_once_is_the_same_one() -> None:
    now = 100.0
    stopping = Stopping(clock=lambda: now)
    assert stopping.signal() == "drain"
    assert stopping.signal() == "again"
    now += SAME_SIGNAL_S - 0.01
    assert stopping.signal() == "again"
    now += 0.01  # counted from the first: whoever repeats it for ever does stop the server
    assert stopping.signal() == "force"
    assert stopping.signal() == "force"


@pytest.mark.parametrize("number", STOPS)
def test_a_doubled_signal_loses_no_request(number: signal.Signals, log: Log) -> None:
    with serving([SLOW], env=LONG, log=log.path) as server, running(server, 200):
        for pause_s in (0, 0, 0.3, 0.3):
            server.process.send_signal(number)
            time.sleep(pause_s)
        server.process.send_signal(signal.SIGINT if number == signal.SIGTERM else signal.SIGTERM)
        assert server.process.wait(PATIENCE_S) == 0
    assert "Traceback" not in log.text


@pytest.mark.parametrize("number", STOPS)
def test_a_signal_to_the_group_of_uv_run_loses_no_request(number: signal.Signals, log: Log) -> None:
    uv = shutil.which("uv")
    assert uv is not None, "the tests are run by uv"
    program = [uv, "run", "--no-sync", "--quiet", "python"]
    with serving([SLOW], env=LONG, log=log.path, program=program) as server, running(server, 300):
        os.killpg(server.process.pid, number)  # as systemd, a terminal and a container do
        until(lambda: httpx2.get(f"{server.url}/ready").status_code == 503)
        assert server.process.wait(PATIENCE_S) == 0
    assert "Traceback" not in log.text
    assert len(log.events("draining")) == 1


def test_signals_that_come_while_it_ends_do_not_change_how_it_ends(log: Log) -> None:
    with serving([SLOW], env=LONG, log=log.path) as server:
        while server.process.poll() is None:
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.001)
        assert server.process.returncode == 0
    assert "Traceback" not in log.text


def test_a_signal_that_forces_answers_503_and_leaves_no_traceback(log: Log) -> None:
    with serving([SLOW], env=LONG, log=log.path) as server, ThreadPoolExecutor(2) as pool:
        posted = [pool.submit(rank, server.url, 25_000) for _ in range(2)]
        until(lambda: in_flight(server.url) == 2)
        server.process.send_signal(signal.SIGTERM)
        log.wait("draining")
        time.sleep(SAME_SIGNAL_S)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE_S) == 0
        assert [answer.result().status_code for answer in posted] == [503, 503]
    assert "Traceback" not in log.text
    assert log.events("stopping at once")[0]["running"] == 2


def test_work_that_nobody_waits_for_does_not_hold_up_the_exit(log: Log) -> None:
    env = {"RERANKD_LIMITS_DRAIN_S": "0.3"}
    with serving([SLOW], env=env, log=log.path) as server, ThreadPoolExecutor(1) as pool:
        one_row = {"query": "q", "documents": ["x" * 1_000_000]}  # hours inside one call
        posted = pool.submit(
            httpx2.post, f"{server.url}/v1/rerank", json=one_row, timeout=PATIENCE_S
        )
        until(lambda: in_flight(server.url) == 1)
        assert server.stop() == 0
        assert posted.result().status_code == 503
    assert "Traceback" not in log.text


def model(folder: Path, name: str, **says: str) -> str:
    """A folder that slow_server loads, with what its files say to it."""
    made = folder / name
    made.mkdir(exist_ok=True)
    for word, value in says.items():
        (made / word).write_text(value)
    return str(made)


@pytest.mark.parametrize("number", STOPS)
def test_a_signal_while_it_loads_ends_it_at_once(
    number: signal.Signals, log: Log, tmp_path: Path
) -> None:
    env = {"RERANKD_MODELS": model(tmp_path, "big", waits="")}
    with starting([SLOW], env=env, log=log.path) as process:
        log.wait("loading")
        process.send_signal(number)
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == 0
    assert "Traceback" not in log.text


def test_a_signal_while_it_reloads_answers_what_runs_and_does_not_wait_for_the_load(
    log: Log, tmp_path: Path
) -> None:
    config = tmp_path / "rerankd.toml"
    config.write_text("[server]\ncors_origins = []\n")
    with serving([SLOW, str(config)], env=LONG, log=log.path) as server, running(server, 100):
        config.write_text(f'models = ["rerankd-mini", "{model(tmp_path, "big", waits="")}"]')
        server.process.send_signal(signal.SIGHUP)
        log.wait("keys taken")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE_S) == 0
    assert "Traceback" not in log.text


@pytest.mark.parametrize(
    ("raised", "says"),
    [
        ("OSError", "/models/x/model.safetensors cannot be read: Input/output error"),
        ("PermissionError", "/models/x/model.safetensors cannot be read: permission denied"),
        ("MemoryError", "not enough memory"),
        ("StopIteration", "StopIteration: no more"),
        ("SystemExit", "SystemExit: 7"),
        ("Panic", "Panic: index out of bounds"),
        ("StartError", "The model is of an unsupported kind."),
    ],
)
def test_whatever_a_load_raises_ends_the_start_with_its_cause(
    raised: str, says: str, log: Log, tmp_path: Path
) -> None:
    assert raised in RAISES
    env = {"RERANKD_MODELS": model(tmp_path, "bad", raises=raised)}
    with starting([SLOW], env=env, log=log.path) as process:
        assert process.wait(PATIENCE_S) == 1
    assert says in log.text
    assert raised == "StartError" or "Model bad cannot be loaded" in log.text
    assert "Traceback" not in log.text


def test_a_load_that_fails_lets_requests_to_other_models_end(log: Log, tmp_path: Path) -> None:
    bad = model(tmp_path, "bad", waits="", raises="OSError")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = LONG | {"RERANKD_MODELS": f"rerankd-mini,{bad}", "SLOW_SERVER_PORT": str(port)}
    with starting([SLOW], env=env, log=log.path) as process, ThreadPoolExecutor(1) as pool:
        log.wait("loading")
        posted = pool.submit(rank, f"http://127.0.0.1:{port}", 200, model="rerankd-mini")
        until(lambda: in_flight(f"http://127.0.0.1:{port}") == 1)
        model(tmp_path, "bad", go="")
        assert posted.result().status_code == 200
        assert process.wait(PATIENCE_S) == 1
    assert log.events("draining")[0]["running"] == 1
    assert "Input/output error" in log.text


def test_ctrl_c_before_anything_is_served_is_no_traceback(tmp_path: Path) -> None:
    fifo = tmp_path / "documents"
    os.mkfifo(fifo)
    command = ["-m", "rerankd", "rank", "q", str(fifo)]
    with (
        starting(command, log=tmp_path / "log") as process,
        fifo.open("w"),  # it reads them now
    ):
        for _ in range(3):  # Python drops one that comes while it frees an object
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE_S / 3)
                break
        assert process.wait(PATIENCE_S) == 130
    assert "Traceback" not in (tmp_path / "log").read_text()
