"""An Envoy that is still starting has read no listeners; it will, so it will confirm them."""

from __future__ import annotations

import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from meshc.delivery.agent.admin import AdminAddress, EnvoyAdmin
from meshc.delivery.agent.configuration import CDS_SUBSCRIPTION, LDS_SUBSCRIPTION
from meshc.delivery.agent.confirm import Outcome, Patience, Watch
from meshc.delivery.errors import AdminError
from meshc.delivery.materialize import materialize
from tests.delivery.live import envoy_or_skip, free_ports, until
from tests.delivery.node_files import bundle, eds_cluster, endpoints, node_files, tcp_listener

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.envoy

HOST = "127.0.42.4"
_SILENT_S = 60
"""Longer than the test: the health check of a server that accepts and says nothing."""


@pytest.fixture
def starting(tmp_path: Path) -> Iterator[EnvoyAdmin]:
    """An Envoy whose first cluster does not get warm, so it reads no listeners yet."""
    admin, port = ((HOST, port) for port in free_ports(HOST, 2))
    check = {
        "timeout": f"{_SILENT_S}s",
        "interval": "60s",
        "unhealthy_threshold": 1,
        "healthy_threshold": 1,
        "http_health_check": {"path": "/"},
    }
    asked = EnvoyAdmin(AdminAddress(*admin))

    def has_read_clusters() -> bool:
        try:
            return CDS_SUBSCRIPTION in asked.states([CDS_SUBSCRIPTION])
        except AdminError:
            return False

    with socket.create_server((HOST, 0)) as silent:
        files = node_files(
            listeners=[tcp_listener("to-a", port, "a")],
            clusters=[eds_cluster("a", "a", health_checks=[check])],
            shared={"a/eds.json": endpoints("ea", "a", silent.getsockname()[:2])},
            admin=admin,
        )
        materialize(bundle(files), tmp_path)
        command = [str(envoy_or_skip()), "-c", "bootstrap.json", "--concurrency", "1"]
        with (tmp_path / "envoy.log").open("wb") as log:
            process = subprocess.Popen(
                [*command, "--disable-hot-restart"], cwd=tmp_path, stdout=log, stderr=log
            )
        try:
            until(has_read_clusters, "an Envoy that warms its first cluster")
            yield asked
        finally:
            process.kill()
            process.wait()


def test_listeners_that_an_envoy_has_not_come_to_yet_do_not_count_as_accepted(
    starting: EnvoyAdmin,
) -> None:
    assert starting.states([LDS_SUBSCRIPTION]) == {}

    watch = Watch(starting, [LDS_SUBSCRIPTION], "lds-2", Patience(notice=0.05))

    assert watch.wait() is Outcome.MISSED
