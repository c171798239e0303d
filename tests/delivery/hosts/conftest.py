"""One mesh and one host for a module; tests that change them start from the same point."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.delivery.hosts.mesh import Host, Mesh, meshc
from tests.delivery.live import free_ports, until, upstream

if TYPE_CHECKING:
    from collections.abc import Iterator

APP1, APP2 = "127.0.45.2", "127.0.45.3"


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A mesh whose `app` has one host; a second one is there to be added."""
    with contextlib.ExitStack() as stack:
        found = Mesh(
            tmp_path_factory.mktemp("mesh"),
            {name: stack.enter_context(upstream(at, name)) for name, at in _APPS.items()},
        )
        found.reset()
        found.build()
        yield found


_APPS = {"app1": APP1, "app2": APP2}


@pytest.fixture(scope="module")
def host(mesh: Mesh, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host that was prepared, with a running Envoy and without an agent."""
    with Host(mesh, tmp_path_factory.mktemp("host") / "target") as found:
        said = meshc("agent", "prepare", *found.arguments())
        assert said.code == 0, said
        found.start_envoy()
        yield found


@pytest.fixture
def ready(host: Host) -> Host:
    """The host without an agent, its Envoy running on what the mesh says at first."""
    host.end_agent()
    if host.envoy is None or host.envoy.poll() is not None:
        host.start_envoy()
    host.mesh.reset()
    host.mesh.build()
    host.meshc("resume")
    said = host.once("--allow-shrink")
    assert said.code == 0, said
    return host


@pytest.fixture
def followed(host: Host) -> Host:
    """The host with an agent that has confirmed what the mesh says at first."""
    if host.envoy is None or host.envoy.poll() is not None:
        host.start_envoy()
    host.mesh.reset()
    host.mesh.build()
    if host.agent is None or host.agent.poll() is not None:
        host.start_agent()
    elif host.status()["paused"]:
        host.meshc("resume")
    until(lambda: host.is_current() or host.has_leftovers(), "the first mesh, confirmed")
    if not host.is_current():
        # What a late event of the source has cut short is tidied up half a minute later, or now.
        host.end_agent()
        host.start_agent()
    host.await_current()
    return host


@pytest.fixture
def port() -> int:
    """A port of the host that nobody has."""
    return free_ports("127.0.45.1", 1)[0]
