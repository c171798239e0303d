"""A mesh whose `front` follows the health of `app` in Consul, and calls what only Consul knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.delivery.hosts.mesh import FRONT, Mesh
from tests.delivery.live import free_ports

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from meshc.consul.client import ConsulClient
    from tests.delivery.hosts.mesh import Address

APP = "services/app/eds@front.json"
KNOWN = "known"


class FollowingMesh(Mesh):
    """``known`` is where front reaches what only Consul knows; ``more``: said of calls to app."""

    def __init__(self, folder: Path, app: Mapping[str, Address]) -> None:
        super().__init__(folder, app)
        (self.known,) = free_ports(FRONT, 1)
        self.threshold = 50
        self.more = ""

    def reset(self) -> None:
        """Call all hosts of app."""
        self.app = dict(self.apps)
        self.threshold = 50
        self.more = ""

    def write(self) -> None:
        super().write()
        front = self.specs / "front.yaml"
        health = f"health: {{from: consul, panicThreshold: {self.threshold}}}"
        text = front.read_text().replace(
            f"{{name: app, egressPort: {self.call}}}",
            f"{{name: app, egressPort: {self.call}, {health}{self.more}}}",
        )
        assert health in text
        front.write_text(
            f"{text}- {{name: {KNOWN}, egressPort: {self.known}, from: consul, protocol: HTTP}}\n"
        )


class Catalogue:
    """Registers and deregisters instances as somebody would, with one check each."""

    def __init__(self, client: ConsulClient) -> None:
        self.client = client

    def say(self, service: str, node: str, address: Address, status: str, **more: Any) -> None:
        """Register an instance whose check has a status."""
        self.client.catalog_register(
            {
                "Node": f"{service}-{node}",
                "Address": address[0],
                "SkipNodeUpdate": False,
                "Service": {
                    "ID": f"{service}-{node}",
                    "Service": service,
                    "Address": address[0],
                    "Port": address[1],
                    **more,
                },
                "Checks": [
                    {
                        "Node": f"{service}-{node}",
                        "CheckID": f"{service}-{node}",
                        "ServiceID": f"{service}-{node}",
                        "Status": status,
                    }
                ],
            }
        )

    def forget(self, service: str, node: str) -> None:
        self.client.catalog_deregister(f"{service}-{node}")
