"""What a node must have: HAProxy before its replicas, the deployed file, cores of its own."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from rerankd.adapters.ray.cores import OwnCores
from rerankd.adapters.ray.node import check_node, digest_of, settings_of
from rerankd.core.errors import StartError


@pytest.mark.parametrize("env", [{}, {"RAY_SERVE_ENABLE_HA_PROXY": "0"}])
def test_serves_own_proxy_is_refused(env: dict[str, str]) -> None:
    with pytest.raises(StartError, match="RAY_SERVE_ENABLE_HA_PROXY=1"):
        check_node(env)


def test_haproxy_is_taken() -> None:
    check_node({"RAY_SERVE_ENABLE_HA_PROXY": "1"})


def test_settings_are_the_nodes_file_and_environment(tmp_path: Path) -> None:
    file = tmp_path / "rerankd.toml"
    file.write_text('models = ["rerankd-lexical"]\n[limits]\ndocuments = 3\n')
    found = settings_of(str(file), digest_of(str(file)), {"RERANKD_LIMITS_DOCUMENTS": "5"})
    assert found.models == ("rerankd-lexical",)
    assert found.limits.documents == 5
    assert settings_of(None, None, {}).limits.documents == 1000


def test_another_file_than_was_deployed_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "rerankd.toml"
    file.write_text("models = []\n")
    digest = digest_of(str(file))
    file.write_text('models = ["rerankd-lexical"]\n')
    with pytest.raises(StartError, match=f"another file.*{digest}"):
        settings_of(str(file), digest, {})


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"absent\.toml"):
        digest_of(str(tmp_path / "absent.toml"))


def test_no_core_has_two_replicas(tmp_path: Path) -> None:
    first, second = OwnCores(tmp_path / "cores"), OwnCores(tmp_path / "cores")
    assert first.hold(2, range(4)) == {0, 1}
    assert second.hold(2, range(4)) == {2, 3}
    assert OwnCores(tmp_path / "cores").hold(1, range(4)) is None
    first.free()
    assert OwnCores(tmp_path / "cores").hold(3, range(4)) is None  # and those that it had are free
    assert OwnCores(tmp_path / "cores").hold(2, range(4)) == {0, 1}


def _hold(folder: Path) -> None:
    OwnCores(folder).hold(2, range(2))


def test_a_process_that_ends_gives_its_cores_back(tmp_path: Path) -> None:
    ended = multiprocessing.get_context("spawn").Process(target=_hold, args=(tmp_path / "cores",))
    ended.start()
    ended.join()
    assert ended.exitcode == 0
    assert OwnCores(tmp_path / "cores").hold(2, range(2)) == {0, 1}
