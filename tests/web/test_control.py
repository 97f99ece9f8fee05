"""What a running server says of itself, and to whom."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from rerankd.settings.load import Effective, load
from rerankd.web import control
from rerankd.web.control import ServerReport, control_of, running
from tests.kit.live import SLOW, Log, rank
from tests.kit.processes import serving
from tests.kit.support import settings


def mine() -> list[ServerReport]:
    return [report for report in running() if report.pid == os.getpid()]


async def test_who_asks_is_told_what_is_in_force_now_and_no_key() -> None:
    now = settings(keys=[{"name": "a", "key": "sk-secret", "rpm": 5}], limits={"documents": 7})
    started = Effective(now, file=Path("x.toml"))
    made = control_of(started, "http://127.0.0.1:1", lambda: now)
    made.open()
    [report] = await asyncio.to_thread(mine)
    assert dict(report.settings)["limits.documents"] == 7
    assert dict(report.settings)["keys.a"] == {"name": "a", "models": None, "rpm": 5, "tpm": None}
    assert (report.file or "").endswith("/x.toml")
    assert "sk-secret" not in repr(report)
    now = settings(limits={"documents": 8})
    [report] = await asyncio.to_thread(mine)
    assert dict(report.settings)["limits.documents"] == 8
    made.close()
    assert await asyncio.to_thread(mine) == []


async def test_a_report_larger_than_a_socket_holds_comes_whole() -> None:
    keys = [{"name": f"key-{n:05}", "key": f"sk-{n}"} for n in range(20_000)]
    made = control_of(Effective(settings()), "", lambda: settings(keys=keys))
    made.open()
    [report] = await asyncio.to_thread(mine)
    assert sum(name.startswith("keys.") for name, _ in report.settings) == len(keys)
    made.close()


async def test_nobody_else_is_answered_and_nobody_else_is_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = control_of(Effective(settings()), "", settings)
    made.open()
    assert len(await asyncio.to_thread(mine)) == 1
    me = os.geteuid()

    def somebody_else(_: object) -> int:
        return me + 1

    monkeypatch.setattr(control, "peer_user", somebody_else)
    assert await asyncio.to_thread(mine) == []
    monkeypatch.setattr(control.os, "geteuid", lambda: me + 2)  # as a client that would believe it
    assert await asyncio.to_thread(mine) == []
    made.close()


def test_config_shows_what_a_running_server_has_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from rerankd.cli.config import config as show

    for name in [name for name in os.environ if name.startswith("RERANKD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RERANKD_SERVER_LOG", "json")  # as the server's flag
    file, log = tmp_path / "rerankd.toml", Log(tmp_path / "log")
    file.write_text('[[keys]]\nname = "one"\nkey = "sk-one"\nrpm = 600\n')
    with serving([SLOW, str(file)], log=log.path) as server:

        def shown() -> list[list[str]]:
            show(config=file, port=0)
            _, _, text = capsys.readouterr().out.partition(f"Running: {server.url}")
            assert f"process {server.process.pid}" in text
            text = text.partition("\nRunning: ")[0]  # of another test beside this one
            assert "sk-one" not in text
            return [line.split() for line in text.splitlines()]

        assert "has these settings" in " ".join(word for line in shown() for word in line)
        file.write_text(
            '[limits]\ndocuments = 5\n[aliases]\nfast = "rerankd-mini"\n'
            '[[keys]]\nname = "one"\nkey = "sk-one"\n'
        )
        lines = shown()
        assert ["limits.documents", "1000", "5", "a", "restart"] in lines
        assert ["aliases.fast", "-", "rerankd-mini", "SIGHUP"] in lines
        assert any(line[:1] == ["keys.one"] and line[-1] == "SIGHUP" for line in lines)
        server.process.send_signal(signal.SIGHUP)
        log.wait("reloaded")
        lines = shown()
        assert ["limits.documents", "1000", "5", "a", "restart"] in lines
        assert not any(line[:1] in (["keys.one"], ["aliases.fast"]) for line in lines)
        assert rank(server.url, key="sk-one").status_code == 200
        assert server.stop() == 0


def test_what_was_killed_is_not_running(tmp_path: Path) -> None:
    with serving([SLOW], log=tmp_path / "log") as server:
        pid = server.process.pid
        assert [report.url for report in running() if report.pid == pid] == [server.url]
        server.process.kill()
        server.process.wait()
        assert [report for report in running() if report.pid == pid] == []


@pytest.mark.parametrize("value", ["", " ", ",", " , "])
def test_a_variable_that_was_to_hold_keys_and_holds_none_is_an_error(value: str) -> None:
    from rerankd.core.errors import StartError

    with pytest.raises(StartError, match="RERANKD_API_KEYS is set, but holds no key"):
        load(None, {"RERANKD_API_KEYS": value}, {})
