"""What Serve is told to run: one document, beside the other applications of the cluster."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rerankd.adapters.ray.dashboard import Dashboard, deployed
from rerankd.adapters.ray.document import Details, Placement, application, document, joined
from rerankd.cli import ray as command
from rerankd.core.errors import StartError
from rerankd.settings.schema import Limits, ServerSettings, Settings

PLACEMENT = Placement(config="/etc/rerankd.toml", digest="0123456789abcdef", replicas=2)
SETTINGS = Settings(server=ServerSettings(host="10.0.0.1", port=8080))
OTHER = {"name": "other", "route_prefix": "/other", "import_path": "other:app"}


def running(status: str, at: float, *, message: str = "", states: str = "RUNNING") -> Any:
    """rerankd as Serve shows it, with fields that nobody reads."""
    replicas = [
        {"replica_id": str(i), "state": state, "node_ip": "10.0.0.2", "pid": 7, "more": 1}
        for i, state in enumerate(states.split())
    ]
    return {
        "status": status,
        "message": message,
        "last_deployed_time_s": at,
        "deployed_app_config": {"name": "rerankd"},
        "deployments": {
            "rerankd": {"status": "HEALTHY", "target_num_replicas": 2, "replicas": replicas}
        },
    }


def test_every_node_is_told_the_file_and_where_serves_edge_is() -> None:
    made = document(PLACEMENT, SETTINGS)
    assert made["http_options"] == {"host": "10.0.0.1", "port": 8080}
    [app] = made["applications"]
    assert app["import_path"] == "rerankd.adapters.ray.replica:application"
    assert app["args"] == {"config": "/etc/rerankd.toml", "digest": "0123456789abcdef"}
    variables = app["runtime_env"]["env_vars"]
    named = variables["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"]
    assert named == "rerankd.adapters.ray.edge:middlewares"


def test_a_replica_that_stops_has_time_for_the_longest_request() -> None:
    limits = Limits(body_s=10.0, deadline_s=100.0, write_s=5.0)
    [one] = application(PLACEMENT, Settings(limits=limits))["deployments"]
    assert one["graceful_shutdown_timeout_s"] >= 30 + 115


def test_there_are_so_many_or_between_two_numbers() -> None:
    [fixed] = application(PLACEMENT, SETTINGS)["deployments"]
    assert fixed["num_replicas"] == 2
    assert "autoscaling_config" not in fixed
    [scaled] = application(msgspec.structs.replace(PLACEMENT, most=5), SETTINGS)["deployments"]
    assert "num_replicas" not in scaled
    found = scaled["autoscaling_config"]
    assert (found["min_replicas"], found["max_replicas"]) == (2, 5)
    assert found["policy"] == {"policy_function": "rerankd.adapters.ray.scaling:ByWork"}


def test_other_applications_of_the_cluster_stay() -> None:
    now = msgspec.convert(
        {
            "applications": {
                "other": running("RUNNING", 1.0) | {"deployed_app_config": OTHER},
                "by hand": running("RUNNING", 1.0) | {"deployed_app_config": None},
                "rerankd": running("RUNNING", 1.0),
            }
        },
        Details,
    )
    found = joined(document(PLACEMENT, SETTINGS), now)["applications"]
    assert [each["name"] for each in found] == ["other", "rerankd"]
    assert found[0] == OTHER


def test_serve_cannot_move() -> None:
    there = msgspec.convert({"http_options": {"host": "10.0.0.1", "port": 8000}}, Details)
    with pytest.raises(StartError, match=r"10\.0\.0\.1:8000"):
        joined(document(PLACEMENT, SETTINGS), there)


class Cluster(ThreadingHTTPServer):
    """A dashboard that shows one state after the other."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.states: list[Any] = [{"applications": {}}]
        self.put: list[Any] = []
        self.refusal: str | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}"


class Answers(BaseHTTPRequestHandler):
    """GET and PUT of Serve's applications."""

    @property
    def cluster(self) -> Cluster:
        """Whose states these are."""
        assert isinstance(self.server, Cluster)
        return self.server

    def do_GET(self) -> None:
        assert self.path == "/api/serve/applications/"
        states = self.cluster.states
        self._say(200, json.dumps(states.pop(0) if len(states) > 1 else states[0]))

    def do_PUT(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.cluster.put.append(sent)
        if self.cluster.refusal is None:
            self._say(200, "")
        else:
            self._say(400, self.cluster.refusal)

    def _say(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def cluster() -> Generator[Cluster]:
    """A dashboard on a free port."""
    with Cluster() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Generator[Cluster]:
    """As above, in the variable that Serve's own command reads; nobody waits for a second."""
    monkeypatch.setattr("rerankd.adapters.ray.dashboard._EVERY_S", 0.001)
    with cluster() as server:
        monkeypatch.setenv("RAY_DASHBOARD_ADDRESS", server.url)
        yield server


def test_deploy_waits_until_the_new_ones_serve(
    there: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rerankd.toml"
    file.write_text("[server]\nport = 8080\n")
    there.states = [
        {"applications": {"rerankd": running("RUNNING", 1.0)}},
        {"applications": {"rerankd": running("RUNNING", 1.0)}},  # Serve has not looked yet
        {"applications": {"rerankd": running("DEPLOYING", 2.0, states="RUNNING STARTING")}},
        {"applications": {"rerankd": running("RUNNING", 2.0, states="RUNNING RUNNING")}},
    ]
    command.deploy(config=file, replicas=2)
    [sent] = there.put
    assert sent["applications"][0]["args"]["config"] == str(file)
    assert capsys.readouterr().out.splitlines() == [
        "DEPLOYING: 1 RUNNING, 1 STARTING, 2 wanted",
        "RUNNING: 2 RUNNING, 2 wanted",
        "rerankd serves on port 8080 of every node that has a replica.",
    ]


def test_a_deployment_that_fails_says_what_serve_says(there: Cluster) -> None:
    failed = running("DEPLOY_FAILED", 2.0, message="no key is configured")
    there.states = [{"applications": {}}, {"applications": {"rerankd": failed}}]
    with pytest.raises(StartError, match="DEPLOY_FAILED: no key is configured"):
        command.deploy()


def test_a_deployment_that_takes_too_long_says_where_it_is(there: Cluster) -> None:
    slow = running("DEPLOYING", 2.0, message="waiting for 1 CPU")
    there.states = [{"applications": {}}, {"applications": {"rerankd": slow}}]
    with pytest.raises(StartError, match=r"within 0 s.*DEPLOYING waiting for 1 CPU"):
        command.deploy(wait_s=0)


def test_a_refused_document_says_why(there: Cluster) -> None:
    there.refusal = "route_prefix / is taken"
    with pytest.raises(StartError, match=r"400.*route_prefix / is taken"):
        command.deploy()


def test_show_changes_nothing(there: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    command.deploy(replicas=3, show=True)
    [one] = json.loads(capsys.readouterr().out)["applications"][0]["deployments"]
    assert one["num_replicas"] == 3
    assert not there.put


def test_too_few_are_refused() -> None:
    with pytest.raises(StartError, match="--replicas 0"):
        command.deploy(replicas=0)
    with pytest.raises(StartError, match="--most 2"):
        command.deploy(replicas=3, most=2)


def test_status_lists_replicas_and_fails_unless_all_serve(
    there: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    there.states = [{"applications": {"rerankd": running("RUNNING", 1.0)}}]
    command.status()
    shown = capsys.readouterr().out
    assert "RUNNING: 1 RUNNING, 2 wanted" in shown
    assert "10.0.0.2" in shown
    there.states = [{"applications": {"rerankd": running("UNHEALTHY", 1.0, message="dies")}}]
    with pytest.raises(StartError, match="UNHEALTHY: dies"):
        command.status()
    there.states = [{"applications": {}}]
    with pytest.raises(StartError, match="Nothing of rerankd"):
        command.status()


@pytest.mark.parametrize("url", ["127.0.0.1:8265", "ray://127.0.0.1:10001", "http://"])
def test_an_address_that_is_no_dashboards_is_refused(url: str) -> None:
    with pytest.raises(StartError, match="8265"):
        Dashboard(url)


def test_a_dashboard_that_is_not_there_is_named() -> None:
    with cluster() as gone:
        url = gone.url
    with pytest.raises(StartError, match=url):
        Dashboard(url).details()


def test_what_is_no_dashboard_is_named(there: Cluster) -> None:
    there.states = [[]]
    with pytest.raises(StartError, match="no dashboard"):
        Dashboard(there.url).details()


def test_nothing_is_told_of_what_was_there_before(there: Cluster) -> None:
    old = msgspec.convert({"applications": {"rerankd": running("UNHEALTHY", 1.0)}}, Details)
    there.states = [
        {"applications": {"rerankd": running("UNHEALTHY", 1.0)}},
        {"applications": {"rerankd": running("RUNNING", 2.0)}},
    ]
    told: list[str] = []
    found = deployed(
        Dashboard(there.url), old, limit_s=60, tell=lambda app: told.append(app.status)
    )
    assert (found.status, told) == ("RUNNING", ["RUNNING"])
