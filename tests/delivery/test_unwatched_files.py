"""Envoy reads no file of a listener that it has refused, and so can confirm none."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from meshc.delivery.agent.configuration import Subscription
from meshc.delivery.agent.confirm import Patience
from meshc.delivery.agent.deliver import deliver
from meshc.delivery.agent.swap import read_files
from meshc.delivery.materialize import materialize
from tests.delivery.live import free_ports, get, running_envoy, until, upstream
from tests.delivery.node_files import (
    Json,
    bundle,
    eds_cluster,
    endpoints,
    http_listener,
    node_files,
    routes,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.envoy

HOST = "127.0.42.3"
LDS = Subscription("listener_manager.lds.")


@pytest.fixture
def server() -> Iterator[tuple[str, int]]:
    with upstream(HOST, "x") as address:
        yield address


def test_routes_of_a_listener_that_envoy_has_refused_are_delivered_with_the_listener(
    tmp_path: Path, server: tuple[str, int]
) -> None:
    admin, taken, free, other = ((HOST, port) for port in free_ports(HOST, 4))

    def files(version: str, to_a: list[Json], goal: str) -> dict[str, bytes]:
        return node_files(
            listeners=[*to_a, http_listener("to-b", other, "b")],
            clusters=[eds_cluster(f"outbound/{name}", name) for name in "ab"],
            shared={
                "a/eds.json": endpoints("ea", "a", server),
                "b/eds.json": endpoints("eb", "b", server),
                "a/rds-outbound.json": routes(f"ra-{goal}", "outbound/a", f"outbound/{goal}"),
                "b/rds-outbound.json": routes("rb", "outbound/b", "outbound/b"),
            },
            version=version,
            admin=admin,
        )

    begun = files("2", [http_listener("to-a", taken, "a")], "a")
    goal = files("3", [http_listener("to-a", free, "a")], "b")
    materialize(bundle(files("1", [], "a")), tmp_path)
    with socket.create_server(taken), running_envoy(tmp_path, admin) as asked:
        materialize(bundle(begun), tmp_path)  # as it lies there when a delivery was killed
        until(lambda: asked.states([LDS])[LDS].rejected > 0, "the refusal of a taken port")

        deliver(bundle(goal), tmp_path, admin=asked, patience=Patience(notice=0.3))

        assert read_files(tmp_path) == goal
        assert get(free) == "x"
