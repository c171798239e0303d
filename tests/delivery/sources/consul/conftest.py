"""A publication in a real Consul, and sources that read it through a gate."""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING

import pytest

from meshc.delivery.agent.settings import AgentSettings
from meshc.delivery.agent.sources import open_source
from meshc.delivery.publish.to_consul import ConsulPlace
from tests.consul.gate import Gate
from tests.delivery.publish.bundles import MESH, NOW, Mesh
from tests.delivery.publish.publishing import publish_to

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from meshc.consul.client import ConsulClient
    from meshc.delivery.agent.sources import Source
    from tests.consul.server import ConsulServer


@pytest.fixture
def client(consul_dev: ConsulServer) -> Iterator[ConsulClient]:
    with consul_dev.client() as opened:
        for key in opened.kv_keys(f"meshc/v1/{MESH}/").value:
            opened.kv_delete(key)
        yield opened


@pytest.fixture
def gate(consul_dev: ConsulServer) -> Iterator[Gate]:
    with Gate((consul_dev.host, consul_dev.ports["http"])) as opened:
        yield opened


@pytest.fixture
def publish(client: ConsulClient, tmp_path: Path) -> Callable[..., None]:
    def published(
        mesh: Mesh, now: int = NOW, client: ConsulClient = client, **wishes: bool
    ) -> None:
        out = tmp_path / f"out-{secrets.token_hex(4)}"
        publish_to(ConsulPlace(client, MESH), mesh, out, now, **wishes)

    return published


@pytest.fixture
def source(gate: Gate, tmp_path: Path) -> Iterator[Callable[..., Source]]:
    with contextlib.ExitStack() as stack:

        def opened(
            held: Callable[[str], bytes | None] = lambda _digest: None, **more: object
        ) -> Source:
            given: dict[str, object] = {
                "node": "a",
                "source": f"consul://{gate.place}/{MESH}",
                "target": tmp_path / "target",
                "state": tmp_path / "state",
                "consul_timeout": 2.0,
            }
            found = open_source(AgentSettings(**given | more), held)  # type: ignore[arg-type]
            stack.callback(found.close)
            return found

        yield opened
