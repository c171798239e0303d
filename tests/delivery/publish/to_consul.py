"""A publisher for a real Consul, in this process or as a command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from meshc.consul.client import ConsulClient
from meshc.consul.settings import ConsulSettings
from meshc.delivery.publish.to_consul import ConsulPlace
from tests.delivery.live import until
from tests.delivery.publish.bundles import MESH, NOW, Mesh
from tests.delivery.publish.publishing import publish_to

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshc.delivery.publish.publisher import Published
    from tests.consul.gate import Gate
    from tests.consul.server import ConsulServer

PROGRAM = Path(sys.executable).with_name("meshc")
END_S = 60


def end_sessions(client: ConsulClient) -> None:
    """What Consul itself does half a minute after a publisher has died."""
    entry = client.kv_get(f"meshc/v1/{MESH}/lock").value
    if entry is not None and entry.session:
        client.session_destroy(entry.session)


def publish(
    client: ConsulClient, mesh: Mesh, out: Path, now: int = NOW, **wishes: object
) -> Published:
    return publish_to(ConsulPlace(client, MESH), mesh, out, now, **wishes)


def values(client: ConsulClient) -> dict[str, bytes]:
    root = f"meshc/v1/{MESH}/"
    entries = client.kv_list(root, consistency="consistent").value
    return {entry.key.removeprefix(root): entry.value for entry in entries}


def consul_at(server: ConsulServer, gate: Gate) -> ConsulClient:
    assert not server.admin_token
    return ConsulClient(ConsulSettings(address=f"http://{gate.place}"))


def is_writing(gate: Gate) -> bool:
    return bool(gate.passed) and gate.passed[-1].path.startswith("/v1/txn")


def sessions(client: ConsulClient) -> list[str]:
    """Ids of everybody who holds or waits for a lock."""
    answer = client._transport.get(None, "/v1/session/list")
    return [one["ID"] for one in json.loads(answer.body)]


def wait_for(condition: Callable[[], bool]) -> None:
    until(condition, "the other command", END_S)


def command(place: str, out: Path, *more: str) -> subprocess.Popen[str]:
    """Start `meshc publish consul` as CI does."""
    return subprocess.Popen(
        [str(PROGRAM), "publish", "consul", "--out", str(out), "--allow-shrink", *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "CONSUL_HTTP_ADDR": place},
    )
