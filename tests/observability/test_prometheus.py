"""A real Prometheus that finds real Envoys through a real Consul, and what it then can show."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from meshc.demo.sample import without_host
from meshc.pipeline import BuildOptions, build
from tests.consul.server import ConsulServer
from tests.delivery.live import until
from tests.observability import dashboards
from tests.observability.prometheus import running_prometheus
from tests.observability.sample import AGENT, NODES, TO_STORE, own_network, running_sample
from tests.observability.server import running_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.observability.prometheus import Prometheus
    from tests.observability.sample import Sample

pytestmark = [pytest.mark.envoy, pytest.mark.consul, pytest.mark.prometheus]

RULES = Path(__file__).parents[2] / "deploy" / "consul" / "prometheus.hcl"
FOUND_IN_S = 40


@dataclass(frozen=True, slots=True)
class Watched:
    """A mesh, the Consul that knows it, and the Prometheus that watches it."""

    sample: Sample
    consul: ConsulServer
    prometheus: Prometheus

    def register(self, out: Path) -> None:
        """Tell Consul what a bundle says, as an operator does."""
        subprocess.run(
            [sys.executable, "-m", "meshc", "consul", "sync", "--out", str(out)],
            env={"PATH": "/usr/bin:/bin", **self.consul.environment()},
            check=True,
            capture_output=True,
        )

    def nodes(self, job: str) -> list[str]:
        """Hosts whose metrics a job of Prometheus reads, as it is now."""
        targets = [one for one in self.prometheus.targets() if one["labels"]["job"] == job]
        return sorted(one["labels"].get("node", "") for one in targets if one["health"] == "up")


def store_with_locality(network: str) -> str:
    """The sample's store, on a host of which it is known where it stands."""
    host = f"{network}{NODES['store1']}"
    return (
        "protocol: TCP\nhosts:\n- name: store1\n"
        f"  ingressAddr: {{host: {host}, port: 8000}}\n"
        f"  substanceAddr: {{host: {host}, port: 9100}}\n"
        f"  egressHost: {host}\n"
        "  locality: {region: north, zone: one}\n"
    )


def make_traffic(sample: Sample) -> None:
    """Calls to front, and to the store on connections of their own."""
    for _ in range(20):
        sample.call()
        with socket.create_connection((sample.host("front1"), TO_STORE), timeout=10) as connection:
            connection.sendall(b"count\n")
            assert connection.recv(100).startswith(b"store1 ")


@pytest.fixture(scope="module")
def watched(consul_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Everything up, registered and found, with traffic that Prometheus has seen."""
    folder, network = tmp_path_factory.mktemp("prometheus"), own_network(73)
    token = str(uuid.uuid4())
    rules = {"enabled": True, "default_policy": "deny", "tokens": {"initial_management": token}}
    with contextlib.ExitStack() as stack:
        consul = stack.enter_context(
            ConsulServer(
                program=consul_binary,
                log=folder / "consul.log",
                settings_file={"acl": rules},
                admin_token=token,
            )
        )
        reader = consul.make_token(RULES.read_text(), "prometheus")
        prometheus = stack.enter_context(
            running_prometheus(
                folder, f"{network}200", consul.address.removeprefix("http://"), reader
            )
        )
        sample = stack.enter_context(
            running_sample(folder, network, services={"store": store_with_locality(network)})
        )
        server = stack.enter_context(
            running_server(sample.folder / "out", f"{network}201", "front1")
        )
        found = folder / "prometheus" / "servers.yml"
        found.write_text(f'- targets: ["{server}"]\n')
        watched = Watched(sample, consul, prometheus)
        watched.register(folder / "out")
        until(lambda: watched.nodes("envoy") == sorted(NODES), "every Envoy", FOUND_IN_S)
        until(lambda: watched.nodes("meshc-agent") == sorted(NODES), "every agent", FOUND_IN_S)

        def is_measured() -> bool:
            make_traffic(sample)
            rates = (
                "sum by (caller, service) (rate(envoy_cluster_upstream_rq_total[1m])) > 0",
                "sum by (service) (rate(envoy_tcp_downstream_cx_total[1m])) > 0",
                "sum by (node) (rate(envoy_http_downstream_rq_total[1m])) > 0",
            )
            return all(prometheus.numbers(rate) for rate in rates)

        until(is_measured, "traffic that Prometheus has seen")
        yield watched


def test_every_envoy_is_found_with_what_its_registration_says(watched: Watched) -> None:
    found = {
        tuple(series["metric"].get(name, "") for name in ("node", "mesh", "services", "locality"))
        for series in watched.prometheus.query('up{job="envoy"} == 1')
    }

    assert found == {
        ("front1", "sample", "front", ""),
        ("myapp1", "sample", "app", ""),
        ("myapp2", "sample", "app", ""),
        ("store1", "sample", "store", "north/one"),
    }


def test_every_agent_is_found_at_its_host(watched: Watched) -> None:
    series = watched.prometheus.query("meshc_agent_confirmed == 1")

    found = {(one["metric"]["node"], one["metric"]["instance"]) for one in series}
    assert found == {(node, f"{watched.sample.host(node)}:{AGENT}") for node in NODES}


def test_metrics_of_calls_say_who_calls_whom(watched: Watched) -> None:
    series = watched.prometheus.query(
        'sum by (direction, caller, service) (envoy_cluster_upstream_rq_total{direction!=""})'
    )

    found = {
        tuple(one["metric"].get(name, "") for name in ("direction", "caller", "service"))
        for one in series
    }
    assert {pair for pair in found if pair[0] == "outbound"} == {
        ("outbound", "front", "app"),
        ("outbound", "front", "store"),
    }
    assert ("inbound", "", "app") in found


def test_a_host_that_goes_or_comes_needs_no_word_to_prometheus(
    watched: Watched, tmp_path: Path
) -> None:
    specs = tmp_path / "specs"
    shutil.copytree(watched.sample.folder / "specs", specs)
    place = specs / "app.yaml"
    place.write_text(without_host(place.read_text(), "myapp2"))
    assert not build(specs, BuildOptions(out=tmp_path / "out")).has_errors
    fewer = sorted(NODES.keys() - {"myapp2"})

    watched.register(tmp_path / "out")

    until(lambda: watched.nodes("envoy") == fewer, "three Envoys", FOUND_IN_S)
    watched.register(watched.sample.folder / "out")
    until(lambda: watched.nodes("envoy") == sorted(NODES), "four Envoys again", FOUND_IN_S)


def test_rules_are_evaluated_and_a_mesh_that_is_well_raises_no_alert(watched: Watched) -> None:
    def rules() -> list[dict[str, str]]:
        return [
            rule for group in watched.prometheus.get("rules")["groups"] for rule in group["rules"]
        ]

    until(lambda: {rule["health"] for rule in rules()} == {"ok"}, "evaluated rules")

    firing = {rule["name"] for rule in rules() if rule["state"] == "firing"}
    assert firing - {"MeshcServeRefused"} == set()  # a client refuses something on purpose


@pytest.mark.parametrize("path", dashboards.FILES, ids=lambda path: path.stem)
def test_every_query_of_a_dashboard_returns_data(watched: Watched, path: Path) -> None:
    board = dashboards.load(path)
    empty: list[dashboards.Query] = []

    def is_full() -> bool:
        make_traffic(watched.sample)
        empty[:] = [
            query
            for query in dashboards.queries(board)
            if not watched.prometheus.numbers(query.expression)
        ]
        return not empty

    # Envoy adds to its histograms every five seconds only.
    with contextlib.suppress(pytest.fail.Exception):
        until(is_full, "data for every query")
    assert empty == []


@pytest.mark.parametrize("path", dashboards.FILES, ids=lambda path: path.stem)
def test_every_variable_of_a_dashboard_has_values(watched: Watched, path: Path) -> None:
    board = dashboards.load(path)

    for variable in dashboards.variables(board):
        if variable["type"] != "query":
            continue
        found = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
        assert found is not None
        series = dashboards.with_everything(board, found[1])
        values = watched.prometheus.get(f"label/{found[2]}/values", **{"match[]": series})
        assert values, variable["name"]
