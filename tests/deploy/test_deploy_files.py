"""What deploy/ holds, against the code: limits, probes, metrics, users, commands.

Whether the programs that read these files take them is a question for tests/deploy/run.sh.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from rerankd.cli.commands import app
from rerankd.settings.load import load
from rerankd.settings.schema import Settings
from rerankd.web import server as web_server
from tests.kit.live import SLOW
from tests.kit.processes import PATIENCE_S, Server, serving

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
UNIT = (DEPLOY / "systemd" / "rerankd.service").read_text()
CONTAINERFILE = (DEPLOY / "Containerfile").read_text()
DEFAULTS = Settings()
# For clients, then for models.
GOODBYE_S = 2 * web_server._GOODBYE_S  # pyright: ignore[reportPrivateUsage]
KEEP_ALIVE_S = web_server._KEEP_ALIVE_S  # pyright: ignore[reportPrivateUsage]
SERVERS = ["deployment.yaml", "with-store/statefulset.yaml"]


def manifest(name: str) -> Any:
    return yaml.safe_load((KUBERNETES / name).read_text())


def pod(name: str) -> Any:
    return manifest(name)["spec"]["template"]["spec"]


def container(name: str) -> Any:
    [found] = pod(name)["containers"]
    return found


@pytest.fixture
def mapped(tmp_path: Path) -> Settings:
    """The settings of the config map."""
    path = tmp_path / "rerankd.toml"
    path.write_text(manifest("config.yaml")["data"]["rerankd.toml"])
    return load(path, {}, {}).settings


@pytest.fixture(scope="module")
def server() -> Generator[Server]:
    with serving([SLOW]) as started:
        yield started


def parses(arguments: list[str]) -> None:
    app.parse_args(arguments, exit_on_error=False, print_error=False)


def test_the_unit_has_time_for_a_drain_and_its_command_is_one() -> None:
    [stop] = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)
    assert int(stop) > DEFAULTS.limits.drain_s + GOODBYE_S
    [command] = re.findall(r"^ExecStart=(.+)$", UNIT, re.MULTILINE)
    parses(shlex.split(command)[1:])
    assert "Type=notify" in UNIT


@pytest.mark.parametrize("name", SERVERS)
def test_every_probe_is_served(name: str, server: Server) -> None:
    found = container(name)
    probes = [found[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")]
    assert [probe["httpGet"]["path"] for probe in probes] == ["/ready", "/ready", "/health"]
    [port] = found["ports"]
    for probe in probes:
        assert probe["httpGet"]["port"] == port["name"] == "http"
        url = f"{server.url}{probe['httpGet']['path']}"
        assert httpx2.get(url, timeout=PATIENCE_S).status_code == 200
    assert port["containerPort"] == DEFAULTS.server.port


@pytest.mark.parametrize("name", SERVERS)
def test_a_drain_has_time(name: str, mapped: Settings) -> None:
    before = container(name)["lifecycle"]["preStop"]["sleep"]["seconds"]
    grace = pod(name)["terminationGracePeriodSeconds"]
    assert grace >= before + mapped.limits.drain_s + GOODBYE_S


@pytest.mark.parametrize("name", SERVERS)
def test_a_pod_may_nothing_and_writes_where_it_has_a_volume(name: str) -> None:
    spec, found = pod(name), container(name)
    assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["fsGroup"] == user()
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert found["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is False
    # The service's own variables begin with RERANKD_, and would be settings that nobody knows.
    assert spec["enableServiceLinks"] is False
    claims = manifest(name)["spec"].get("volumeClaimTemplates", [])
    volumes = {volume["name"] for volume in spec["volumes"]}
    volumes |= {claim["metadata"]["name"] for claim in claims}
    assert {mount["name"] for mount in found["volumeMounts"]} == volumes
    writable = {m["mountPath"] for m in found["volumeMounts"] if not m.get("readOnly")}
    assert writable == {"/tmp", "/var/lib/rerankd"}  # noqa: S108 - the pod's own


@pytest.mark.parametrize("name", SERVERS)
def test_its_arguments_are_a_command_and_its_cores_whole_ones(name: str) -> None:
    found = container(name)
    parses(found["args"])
    assert found["resources"]["limits"]["cpu"] == found["resources"]["requests"]["cpu"] == "2"


def test_the_settings_are_taken(mapped: Settings) -> None:
    assert mapped.models


def test_with_a_store_all_but_the_volume_is_the_same() -> None:
    plain, stored = manifest(SERVERS[0]), manifest(SERVERS[1])
    for spec in (plain["spec"], stored["spec"]):
        for only in ("strategy", "serviceName", "podManagementPolicy", "volumeClaimTemplates"):
            spec.pop(only, None)
        spec.pop("persistentVolumeClaimRetentionPolicy", None)
    [journal] = stored["spec"]["template"]["spec"]["containers"][0].pop("env")
    assert journal["name"] == "RERANKD_STORE_JOURNAL"
    assert journal["value"].startswith("/var/lib/rerankd/")
    volumes = plain["spec"]["template"]["spec"]["volumes"]
    [data] = [volume for volume in volumes if volume["name"] == "data"]
    volumes.remove(data)
    assert (plain.pop("kind"), stored.pop("kind")) == ("Deployment", "StatefulSet")
    assert stored == plain


def test_all_manifests_speak_of_the_same_pods() -> None:
    names = manifest("kustomization.yaml")["resources"]
    beside = {"kustomization.yaml", "adapter-rules.yaml"}  # no manifests
    assert set(names) == {path.name for path in KUBERNETES.glob("*.yaml")} - beside
    labels = {"app.kubernetes.io/name": "rerankd"}
    service, budget = manifest("service.yaml"), manifest("disruption.yaml")
    deployment, network = manifest("deployment.yaml"), manifest("network.yaml")
    assert service["spec"]["selector"] == labels
    assert budget["spec"]["selector"]["matchLabels"] == labels
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert deployment["spec"]["template"]["metadata"]["labels"] == labels
    assert network["spec"]["podSelector"]["matchLabels"] == labels
    scaled = manifest("autoscaler.yaml")["spec"]["scaleTargetRef"]
    assert (scaled["kind"], scaled["name"]) == ("Deployment", deployment["metadata"]["name"])
    assert [port["targetPort"] for port in service["spec"]["ports"]] == ["http"]


def test_what_it_scales_by_is_a_metric_that_its_rule_shows(mapped: Settings) -> None:
    spec = manifest("autoscaler.yaml")["spec"]
    [pods] = [metric["pods"] for metric in spec["metrics"] if metric["type"] == "Pods"]
    name = pods["metric"]["name"]
    [rule] = manifest("adapter-rules.yaml")["rules"]
    assert rule["name"]["as"] == name
    assert rule["seriesQuery"].startswith(f"{name}{{")
    # That table is held against what a server shows.
    assert f"| `{name}` | gauge |" in (ROOT / "docs" / "operating.md").read_text()
    # It grows before requests are refused.
    assert float(pods["target"]["averageValue"]) < mapped.limits.wait_s / 2
    assert spec["minReplicas"] >= 2  # one of them may be drained


def user() -> int:
    [found] = re.findall(r"^USER (\d+):(\d+)$", CONTAINERFILE, re.MULTILINE)
    assert found[0] == found[1] != "0"
    return int(found[0])


def test_the_image_is_of_debian_and_its_sources_are_sent_to_the_builder() -> None:
    assert re.findall(r"^ARG BASE=(.+)$", CONTAINERFILE, re.MULTILINE) == ["debian:bookworm-slim"]
    stages = re.findall(r"^FROM (\S+)", CONTAINERFILE, re.MULTILINE)
    assert set(stages) == {"${BASE}"}
    sent = (ROOT / ".dockerignore").read_text().splitlines()
    for line in re.findall(r"^COPY (?!--from)(.+)$", CONTAINERFILE, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists()
            assert f"!{source}" in sent
    project = (ROOT / "pyproject.toml").read_text()
    assert set(re.findall(r"--extra (\w+)", CONTAINERFILE)) <= set(
        re.findall(r"^(\w+) = \[", project, re.MULTILINE)
    )


def test_the_image_starts_a_server_that_others_reach() -> None:
    [entry] = re.findall(r'^ENTRYPOINT \["(.+)"\]$', CONTAINERFILE, re.MULTILINE)
    [command] = re.findall(r"^CMD \[(.+)\]$", CONTAINERFILE, re.MULTILINE)
    assert entry == "rerankd"
    parses([word.strip('" ') for word in command.split(",")])
    assert f"EXPOSE {DEFAULTS.server.port}" in CONTAINERFILE


def test_compose_runs_the_image_with_as_little_as_a_pod() -> None:
    [(_, service)] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"].items()
    assert service["build"] == {"context": "..", "dockerfile": "deploy/Containerfile"}
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["stop_grace_period"].removesuffix("s")) > (
        DEFAULTS.limits.drain_s + GOODBYE_S
    )
    given = {name: str(value) for name, value in service["environment"].items()}
    given["RERANKD_API_KEYS"] = "0123456789abcdef0123456789abcdef"
    assert load(None, given, {}).settings.store.url == "sqlite:////var/lib/rerankd/rerankd.db"
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    [volume] = service["volumes"]
    assert volume.partition(":")[2] == "/var/lib/rerankd"


PROXIES = {
    "nginx/rerankd.conf": (r"proxy_read_timeout (\d+)s;", r"keepalive_timeout (\d+)s;"),
    "caddy/Caddyfile": (r"response_header_timeout (\d+)s", r"keepalive (\d+)s"),
    "haproxy/haproxy.cfg": (r"timeout server (\d+)s", r"pool-purge-delay (\d+)s"),
}


@pytest.mark.parametrize("name", PROXIES)
def test_a_proxy_waits_longer_than_rerankd_and_closes_idle_connections_first(name: str) -> None:
    text = (DEPLOY / name).read_text()
    [read_s], [idle_s] = (re.findall(found, text) for found in PROXIES[name])
    assert int(read_s) > DEFAULTS.limits.deadline_s
    assert int(idle_s) < KEEP_ALIVE_S
    assert "/metrics" in text


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("nginx/rerankd.conf", r"client_max_body_size (\d+)m;"),
        ("caddy/Caddyfile", r"max_size (\d+)MiB"),
    ],
)
def test_a_proxy_lets_through_what_rerankd_takes(name: str, body: str) -> None:
    [mebibytes] = re.findall(body, (DEPLOY / name).read_text())
    assert int(mebibytes) * 2**20 >= DEFAULTS.limits.body_bytes
