"""A mesh in which one service calls another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.model.reading import calls, good, host, service

if TYPE_CHECKING:
    from pathlib import Path

    from meshc.model.mesh import Mesh, Service, Upstream


def mesh_of(
    folder: Path,
    *,
    protocol: str = "HTTP",
    settings: str = "{}",
    called: str = "",
    caller: str = "",
) -> Mesh:
    """A mesh in which front calls app."""
    return good(
        folder,
        {
            "app.yaml": service(host("app1"), protocol=protocol, more=called),
            "front.yaml": service(host("front1", "10.0.0.2"), more=calls("app", more=caller)),
            "mesh.yaml": settings,
        },
    )


def app_and_call(mesh: Mesh) -> tuple[Service, Upstream]:
    services = {str(name): found for name, found in mesh.services.items()}
    return services["app"], services["front"].upstreams[0]
