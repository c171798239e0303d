"""What brings an agent's metrics to Prometheus: systemd's own proxy before its Unix socket."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from meshc.delivery.agent.admin import AdminAddress
from meshc.delivery.agent.metrics import Metrics, MetricsServer
from meshc.delivery.agent.settings import load_settings
from meshc.delivery.agent.status import STATES
from tests.delivery.hosts.mesh import scrape
from tests.delivery.live import free_ports, until
from tests.deploy.confined import read_unit
from tests.deploy.host import ROOT, UNITS, analyze, exposure, need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOCKET, SERVICE = "meshc-agent-metrics.socket", "meshc-agent-metrics.service"
HOST = "127.0.47.2"


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    need("systemd-analyze")
    for name in (SOCKET, SERVICE):
        shutil.copy(UNITS / name, tmp_path)
    return tmp_path


def test_systemd_finds_nothing_to_say_about_the_units(installed: Path) -> None:
    assert analyze(installed, "verify", "--man=no", f"./{SOCKET}", f"./{SERVICE}") == "0"


def test_the_proxy_exposes_little(installed: Path) -> None:
    assert exposure(installed, f"./{SERVICE}") <= 1.0


def test_it_serves_where_prometheus_asks_what_the_agent_serves() -> None:
    [listens] = read_unit(UNITS / SOCKET)["ListenStream"]
    [command] = read_unit(UNITS / SERVICE)["ExecStart"]
    jobs = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    settings = load_settings({}, file=UNITS / "agent.toml", environment={})

    [job] = [one for one in jobs["scrape_configs"] if one["job_name"] == "meshc-agent"]

    [address] = [one for one in job["relabel_configs"] if one["target_label"] == "__address__"]
    assert address["replacement"] == f"$1:{listens.rpartition(':')[2]}"
    assert command.split()[-1] == f"{settings.state}/metrics.sock"


@contextlib.contextmanager
def proxy(target: Path) -> Iterator[tuple[str, int]]:
    """Run the unit's command for connections at a free port, as systemd does."""
    need("systemd-socket-activate")
    [command] = read_unit(UNITS / SERVICE)["ExecStart"]
    program, *options = shlex.split(command)
    [port] = free_ports(HOST, 1)
    process = subprocess.Popen(
        [
            *("systemd-socket-activate", f"--listen={HOST}:{port}"),
            *(program, *options[:-1], str(target)),
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        yield HOST, port
    finally:
        process.kill()
        process.wait()


def test_metrics_of_a_unix_socket_are_read_over_the_network(tmp_path: Path) -> None:
    place = tmp_path / "metrics.sock"
    server = MetricsServer(AdminAddress(str(place)), lambda: Metrics(node="web1").render(STATES))
    try:
        with proxy(place) as address:

            def read() -> str:
                with contextlib.suppress(OSError):
                    return scrape(address)
                return ""

            until(lambda: 'node="web1"' in read(), "metrics")
            assert read().startswith("HTTP/1.1 200 OK")
    finally:
        server.close()
