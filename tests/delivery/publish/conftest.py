"""Places to publish to: a table with a publisher for it, and a real Consul."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshc.consul import lock as consul_lock
from tests.delivery.publish.bundles import MESH, NOW, Mesh
from tests.delivery.publish.model_place import ModelPlace
from tests.delivery.publish.publishing import publish_to
from tests.delivery.publish.to_consul import sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from meshc.consul.client import ConsulClient
    from meshc.delivery.publish.publisher import Published
    from tests.consul.server import ConsulServer


@pytest.fixture
def place() -> ModelPlace:
    return ModelPlace()


@pytest.fixture
def publish(tmp_path: Path) -> Callable[..., Published]:
    """Publish a mesh, with any bounds unless some are given."""

    def published(place: ModelPlace, mesh: Mesh, now: int = NOW, **wishes: object) -> Published:
        return publish_to(place, mesh, tmp_path / "out", now, **wishes)

    return published


@pytest.fixture
def client(consul_dev: ConsulServer) -> Iterator[ConsulClient]:
    with consul_dev.client() as opened:
        yield opened


@pytest.fixture
def empty_consul(client: ConsulClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """All tests publish the same mesh; who died before holds nobody up and is not counted."""
    monkeypatch.setattr(consul_lock, "_LOCK_DELAY_S", 0)
    for session in sessions(client):
        client.session_destroy(session)
    for key in client.kv_keys(f"meshc/v1/{MESH}/").value:
        client.kv_delete(key)
