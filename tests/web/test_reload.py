"""SIGHUP in real processes: keys first and at once, nothing opens, and the log says it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.kit.live import SLOW, Log, in_flight, rank, until
from tests.kit.processes import Server, serving

KEY = '[[keys]]\nname = "{0}"\nkey = "sk-{0}"\n'
ONE = KEY.format("one")


class Live:
    """A server with its configuration file and its log."""

    def __init__(self, server: Server, config: Path, log: Log) -> None:
        self.url = server.url
        self.config = config
        self.log = log
        self._process = server.process

    def reload(self, text: str | None = None) -> None:
        """Write the file and tell the server, which may take a while to follow."""
        if text is not None:
            self.config.write_text(text)
        self._process.send_signal(signal.SIGHUP)

    def status(self, key: str | None = None, **fields: object) -> int:
        """Of one small request."""
        return rank(self.url, 25, key=key, **fields).status_code

    def stop(self) -> None:
        """It still ends as it should."""
        self._process.terminate()
        assert self._process.wait(60) == 0
        assert "Traceback" not in self.log.text


@pytest.fixture
def start(tmp_path: Path) -> Generator[Callable[..., Live]]:
    """Starts one server with a text as its configuration file."""
    with contextlib.ExitStack() as stack:

        def started(text: str, **env: str) -> Live:
            config, log = tmp_path / "rerankd.toml", tmp_path / "log"
            config.write_text(text)
            server = stack.enter_context(serving([SLOW, str(config)], env=env, log=log))
            return Live(server, config, Log(log))

        yield started


def model(folder: Path, name: str, **says: str) -> str:
    """A folder that slow_server loads, with what its files say to it."""
    made = folder / name
    made.mkdir(exist_ok=True)
    for word, value in says.items():
        (made / word).write_text(value)
    return str(made)


def test_a_file_that_cannot_be_used_changes_nothing(start: Callable[..., Live]) -> None:
    live = start(f'models = ["rerankd-mini"]\n{ONE}')
    two = KEY.format("two")
    cases = [
        ("", "no settings any more"),
        ("# all of it\n#   commented out\n", "no settings any more"),
        ("keys = []\n", "no API key is configured"),
        ('models = ["rerankd-mini"]\n', "no API key is configured"),
        (f"{two}[limi", "is not TOML"),
        (f'{two}[[keys]]\nname = "cut"\nkey = "sk-cu', "is not TOML"),
        (f"{two}[limits]\ndocuments = 0\n", "limits.documents"),
        (f"{two}[limits]\ndocumenst = 1\n", "no such setting"),
        (f'{two}[[keys]]\nname = "empty"\nkey = ""\n', "has an empty key"),
        (f'{two}[[keys]]\nname = "spaces"\nkey = "  "\n', "has an empty key"),
        (f'{two}[[keys]]\nname = "none"\n', "needs either key or sha256"),
    ]
    for count, (text, says) in enumerate(cases, 1):
        live.reload(text)
        refused = live.log.wait("reload refused", count)
        assert says in refused["reason"]
        assert "Nothing was changed" in refused["reason"]
        assert "SIGHUP again" in refused["reason"]
        assert (live.status(), live.status("sk-one"), live.status("sk-two")) == (401, 200, 401)
    for count, replace in enumerate((Path.unlink, Path.mkdir), len(cases) + 1):  # gone; no file
        replace(live.config)
        live.reload()
        assert f"Cannot read {live.config}" in live.log.wait("reload refused", count)["reason"]
        assert (live.status(), live.status("sk-one")) == (401, 200)
    assert live.log.events("keys taken") == []
    live.stop()


def test_keys_of_the_environment_do_not_hide_that_the_file_was_emptied(
    start: Callable[..., Live],
) -> None:
    live = start(ONE, RERANKD_API_KEYS="sk-env")
    live.reload("")
    assert "no settings any more" in live.log.wait("reload refused")["reason"]
    assert (live.status("sk-one"), live.status("sk-env"), live.status()) == (200, 200, 401)
    live.stop()


def test_a_server_that_began_open_takes_keys_and_never_opens_again(
    start: Callable[..., Live],
) -> None:
    live = start("")
    assert live.status() == 200
    live.reload(ONE)
    live.log.wait("reloaded")
    assert (live.status(), live.status("sk-one")) == (401, 200)
    live.reload("models = []\n")
    live.log.wait("reload refused")
    assert (live.status(), live.status("sk-one")) == (401, 200)
    live.stop()


def test_keys_are_taken_at_once_beside_an_old_model_that_still_answers(
    start: Callable[..., Live], tmp_path: Path
) -> None:
    old = model(tmp_path, "old", holds="")
    live = start(f'models = ["{old}"]\n{ONE}{KEY.format("gone")}')
    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(rank, live.url, 25, key="sk-gone", model="old")
        until(lambda: in_flight(live.url) == 1)
        live.reload(ONE)
        taken = live.log.wait("keys taken")
        assert (taken["added"], taken["revoked"], taken["changed"]) == ([], ["gone"], [])
        assert live.status("sk-gone") == 401
        live.log.wait("reloaded")  # nor do the models wait for the old one's last answer
        assert live.status("sk-one") == 200
        live.reload(ONE + KEY.format("next"))
        live.log.wait("reloaded", 2)
        assert live.status("sk-next") == 200
        assert not answers.done()
        model(tmp_path, "old", go="")
        assert answers.result().status_code == 200
    live.stop()


def test_keys_are_taken_while_models_load_and_stay_when_they_fail(
    start: Callable[..., Live], tmp_path: Path
) -> None:
    bad = model(tmp_path, "bad", waits="", raises="MemoryError")
    good = model(tmp_path, "good")
    live = start(ONE + KEY.format("narrow") + '[aliases]\n"a" = "rerankd-mini"\n')
    assert live.status("sk-narrow", model="a") == 200
    narrowed = 'models = ["rerankd-mini"]\n'
    live.reload(
        f'models = ["rerankd-mini", "{good}", "{bad}"]\n{KEY.format("new")}'
        + KEY.format("narrow")
        + narrowed.replace("rerankd-mini", "good")
    )
    taken = live.log.wait("keys taken")
    assert (taken["added"], taken["revoked"]) == (["new"], ["one"])
    assert taken["changed"] == ["narrow"]
    assert live.status("sk-one") == 401
    assert live.status("sk-new") == 200
    assert live.status("sk-narrow", model="a") == 403
    live.reload(ONE)  # keys again, while the models before still load
    live.log.wait("keys taken", 2)
    assert (live.status("sk-one"), live.status("sk-new")) == (200, 401)
    model(tmp_path, "bad", go="")
    refused = live.log.wait("reload refused")
    assert "Model bad cannot be loaded: not enough memory" in refused["reason"]
    assert "new keys are in force" in refused["reason"]
    assert (refused["taken"], refused["kept"]) == (["keys"], ["models"])
    live.log.wait("reloaded")  # the second file, whose models can be loaded
    assert live.status("sk-one", model="good") == 400
    assert live.status("sk-one") == 200
    live.stop()


@pytest.mark.parametrize(
    "raised", ["OSError", "StopIteration", "SystemExit", "Panic", "StartError"]
)
def test_whatever_a_load_raises_refuses_the_reload_and_nothing_is_left_half(
    raised: str, start: Callable[..., Live], tmp_path: Path
) -> None:
    live = start(ONE)
    bad, good = model(tmp_path, "bad", raises=raised), model(tmp_path, "good")
    live.reload(f'models = ["{good}", "{bad}"]\n{ONE}')
    assert live.log.wait("reload refused")["kept"] == ["models"]
    assert live.status("sk-one") == 200
    assert live.status("sk-one", model="good") == 400
    (tmp_path / "bad" / "raises").unlink()
    live.reload()
    live.log.wait("reloaded")
    assert live.status("sk-one", model="good") == 200
    live.stop()


def test_a_key_for_a_model_that_nobody_serves_is_a_warning_at_start_and_reload(
    start: Callable[..., Live],
) -> None:
    event = "a key names a model that nobody serves"
    live = start(ONE + KEY.format("odd") + 'models = ["nosuch"]\n')
    said = live.log.wait(event)
    assert said["level"] == "warning"
    assert 'keys "odd": models names nosuch' in said["reason"]
    assert live.status("sk-one") == 200
    assert live.status("sk-odd") == 403
    live.reload()
    live.log.wait("reloaded")
    live.log.wait(event, 2)
    live.stop()


def test_what_needs_a_restart_is_named_with_both_values(start: Callable[..., Live]) -> None:
    live = start(ONE)
    live.reload(
        f'{ONE}[server]\nport = 4711\ncontact = "me"\n[limits]\ndocuments = 5\n'
        '[media]\nallow = ["10.0.0.0/8"]\n'
    )
    said = live.log.wait("needs a restart")
    assert {d["setting"]: (d["running"], d["new"]) for d in said["settings"]} == {
        "server.contact": (None, "me"),  # the port was given by a flag, which wins
        "limits.documents": (1000, 5),
        "media.allow": ([], ["10.0.0.0/8"]),
    }
    live.log.wait("reloaded")
    assert "sk-one" not in live.log.text
    live.reload(ONE)
    live.log.wait("reloaded", 2)
    assert len(live.log.events("needs a restart")) == 1
    live.stop()


def test_a_sighup_before_anything_is_served_is_not_lost(tmp_path: Path) -> None:
    config, log = tmp_path / "rerankd.toml", Log(tmp_path / "log")
    waits = model(tmp_path, "big", waits="")
    config.write_text(f'models = ["{waits}"]\n{ONE}')
    with contextlib.ExitStack() as stack:
        entered = threading.Event()

        def begun() -> Server:
            entered.set()
            return stack.enter_context(serving([SLOW, str(config)], log=log.path))

        with ThreadPoolExecutor(1) as pool:
            coming = pool.submit(begun)
            assert entered.wait(60)
            until(lambda: log.path.exists() and len(log.events("loading")) == 1)
            config.write_text(f'models = ["{waits}"]\n{KEY.format("two")}')
            os.kill(_process_of(str(config)), signal.SIGHUP)
            log.wait("keys taken")  # at once: the first load has not ended
            assert log.events("reloaded") == []
            model(tmp_path, "big", go="")
            server = coming.result()
        log.wait("reloaded")
        assert rank(server.url, key="sk-two").status_code == 200
        assert rank(server.url, key="sk-one").status_code == 401
        assert server.stop() == 0


def _process_of(argument: str) -> int:
    """The process that was started with an argument."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if argument in (folder / "cmdline").read_text().split("\0"):
                return int(folder.name)
    raise AssertionError(argument)


def test_reloads_under_load_lose_no_request(start: Callable[..., Live], tmp_path: Path) -> None:
    """bench/hold.py does a hundred; here every second one also swaps the model that answers."""
    turns = 20
    folders = [model(tmp_path, name) for name in ("even", "odd")]
    texts = [
        f'models = ["{folder}"]\n[aliases]\n"served" = "{Path(folder).name}"\n{ONE}'
        + KEY.format(f"turn-{turn % 2}")
        for turn, folder in enumerate(folders)
    ]
    live = start(texts[0])
    stop = threading.Event()

    def client(number: int) -> list[int]:
        seen: list[int] = []
        while not stop.is_set():
            fields = {"model": "served"} if number % 2 else {}
            seen.append(rank(live.url, 1, key="sk-one", **fields).status_code)
        return seen

    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(client, number) for number in range(4)]
        try:
            for turn in range(1, turns + 1):
                live.reload(texts[turn % 2])
                live.log.wait("reloaded", turn)
                assert live.status(f"sk-turn-{turn % 2}") == 200
                assert live.status(f"sk-turn-{(turn + 1) % 2}") == 401
        finally:
            stop.set()
        statuses = [status for seen in clients for status in seen.result()]
    assert len(statuses) >= turns
    assert set(statuses) == {200}
    live.stop()
