"""What a service manager hears on its socket: of the parts, and of real server processes."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import structlog

from rerankd.service.base import HealthVerdict
from rerankd.web.systemd import Systemd
from tests.kit.live import SLOW, Log, in_flight, rank, until
from tests.kit.processes import PATIENCE_S, Server, starting


class Manager:
    """systemd's end: a real datagram socket, read as it comes."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(PATIENCE_S)

    def hear(self) -> dict[str, str]:
        """The next datagram."""
        lines = self.socket.recv(65_536).decode().split("\n")
        return dict(line.split("=", 1) for line in lines)

    def hear_of(self, name: str) -> dict[str, str]:
        """The next datagram with a line of that name; others, signs of life, are passed over."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            if name in (said := self.hear()):
                return said
        raise AssertionError(f"no {name}")

    def has_heard(self) -> bool:
        """Whether something waits."""
        self.socket.setblocking(False)
        try:
            self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        finally:
            self.socket.settimeout(PATIENCE_S)
        return True

    def empty(self) -> None:
        """Pass over what was said until now."""
        while self.has_heard():
            self.hear()


@pytest.fixture
def manager(tmp_path: Path) -> Generator[Manager]:
    made = Manager(str(tmp_path / "notify"))
    with made.socket:
        yield made


@pytest.fixture
def systemd(tmp_path: Path) -> Systemd:
    return Systemd({"NOTIFY_SOCKET": str(tmp_path / "notify")})


def test_ready_stopping_and_a_status_of_one_line(manager: Manager, systemd: Systemd) -> None:
    systemd.ready("serving\non http://127.0.0.1:8000")
    assert manager.hear() == {"READY": "1", "STATUS": "serving on http://127.0.0.1:8000"}
    systemd.stopping("x" * 1000)
    assert manager.hear() == {"STOPPING": "1", "STATUS": "x" * 300}
    systemd.ready("a load that ended too late")
    with systemd.reloading():
        pass
    assert not manager.has_heard()


def test_reloads_that_overlap_are_one_with_the_time_of_the_clock_that_systemd_reads(
    manager: Manager, systemd: Systemd
) -> None:
    with systemd.reloading():  # before all is loaded nothing is ready again by a reload
        pass
    assert not manager.has_heard()
    systemd.ready("")
    manager.hear()
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    with systemd.reloading():
        said = manager.hear()
        assert said["RELOADING"] == "1"
        assert before <= int(said["MONOTONIC_USEC"]) <= time.clock_gettime_ns(1) // 1000
        with systemd.reloading():
            pass
        assert not manager.has_heard()
    assert manager.hear() == {"READY": "1"}


def test_an_abstract_socket_is_found() -> None:
    name = f"rerankd-test-{os.getpid()}"
    manager = Manager(f"\0{name}")
    with manager.socket:
        Systemd({"NOTIFY_SOCKET": f"@{name}"}).ready("")
        assert manager.hear()["READY"] == "1"


@pytest.mark.parametrize("written", ["", "vsock:2:1234", "relative"])
def test_without_a_unix_socket_nothing_is_said_and_nobody_is_watched(written: str) -> None:
    systemd = Systemd({"NOTIFY_SOCKET": written, "WATCHDOG_USEC": "1000000"})
    assert systemd.pulse_s is None
    with structlog.testing.capture_logs() as events:
        systemd.ready("")
        with systemd.reloading():
            systemd.stopping("")
    assert not events


def test_a_manager_that_is_gone_is_told_of_in_one_line_of_the_log(tmp_path: Path) -> None:
    systemd = Systemd({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    with structlog.testing.capture_logs() as events:
        systemd.ready("")
        systemd.stopping("")
    assert [event["event"] for event in events] == ["systemd cannot be told"]


@pytest.mark.parametrize(
    ("environment", "pulse_s"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 10.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 10.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),  # `uv run` is watched, not we
        ({"WATCHDOG_USEC": "1"}, 0.25),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_three_signs_of_life_in_the_time_that_is_allowed(
    environment: dict[str, str], pulse_s: float | None
) -> None:
    assert Systemd({"NOTIFY_SOCKET": "/run/x"} | environment).pulse_s == pulse_s


class _Enough(Exception):
    """The test has seen what it wanted."""


async def test_there_is_no_sign_of_life_while_a_model_is_ill(manager: Manager) -> None:
    address = manager.socket.getsockname()
    systemd = Systemd({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1"})
    states = iter(["ok", "loading", "cannot score", "cannot score", "ok"])
    heard: list[bool] = []  # between one question and the next

    async def ills() -> str:
        heard.append(manager.has_heard())
        manager.empty()
        state = next(states, None)
        if state is None:
            raise _Enough
        return HealthVerdict({"fine": "ok", "model": state}).ills

    with structlog.testing.capture_logs() as events, pytest.raises(_Enough):
        await systemd.pulse(ills)
    assert heard == [False, True, True, False, False, True]
    assert [event["event"] for event in events] == [
        "no sign of life for systemd",
        "signs of life for systemd again",
    ]
    assert events[0]["reason"].startswith("model: cannot score")


async def test_a_question_without_an_answer_is_an_ill(manager: Manager) -> None:
    address = manager.socket.getsockname()
    systemd = Systemd({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1"})

    async def ills() -> str:
        await asyncio.Event().wait()
        return ""

    with structlog.testing.capture_logs() as events:
        pulse = asyncio.create_task(systemd.pulse(ills))
        while not events:
            await asyncio.sleep(0.01)
        pulse.cancel()
    assert not manager.has_heard()


def test_a_server_says_ready_when_its_models_are_and_gives_signs_of_life_until_it_stops(
    manager: Manager, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "waits").touch()
    (tmp_path / "rerankd.toml").write_text(f'models = ["m={folder}"]\n[limits]\ndrain_s = 3600\n')
    env = {"NOTIFY_SOCKET": manager.socket.getsockname(), "WATCHDOG_USEC": "1500000"}
    command = [SLOW, str(tmp_path / "rerankd.toml")]
    with starting(command, env=env, log=tmp_path / "log") as process:
        assert [manager.hear() for _ in range(2)] == [{"WATCHDOG": "1"}] * 2  # it still loads
        (folder / "go").touch()
        said = manager.hear_of("READY")
        server = Server(process)
        assert said == {"READY": "1", "STATUS": f"serving on {server.url}"}
        manager.hear_of("WATCHDOG")
        process.send_signal(signal.SIGHUP)
        manager.hear_of("RELOADING")
        assert manager.hear_of("READY") == {"READY": "1"}
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(rank, server.url, 100)
            until(lambda: in_flight(server.url) == 1)
            process.send_signal(signal.SIGTERM)
            assert manager.hear_of("STOPPING")["STATUS"] == "requests in progress get answers"
            assert answer.result().status_code == 200
        assert process.wait(PATIENCE_S) == 0
    log = Log(tmp_path / "log")
    assert not log.events("systemd cannot be told")
    assert "Traceback" not in log.text


def test_a_load_that_fails_is_said_before_the_end(manager: Manager, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "raises").write_text("StartError")
    (tmp_path / "rerankd.toml").write_text(f'models = ["m={folder}"]\n')
    env = {"NOTIFY_SOCKET": manager.socket.getsockname()}
    with starting([SLOW, str(tmp_path / "rerankd.toml")], env=env) as process:
        said = manager.hear()
        assert said == {"STOPPING": "1", "STATUS": "The model is of an unsupported kind."}
        assert process.wait(PATIENCE_S) == 1
    assert not manager.has_heard()
