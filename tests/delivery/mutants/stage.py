"""A real Envoy, two servers behind it, and sets of files in which listeners hold their routes."""

from __future__ import annotations

import contextlib
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from meshc.delivery.agent.admin import AdminAddress, EnvoyAdmin
from meshc.delivery.agent.confirm import Patience
from meshc.delivery.agent.deliver import DeliveryResult, deliver
from meshc.delivery.errors import AdminError
from meshc.delivery.materialize import materialize
from tests.delivery.live import envoy_or_skip, free_ports, get, running_envoy, until, upstream
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

HOST, OTHER_HOST = "127.0.43.3", "127.0.43.4"
_START_LIMIT_S = 20.0


@dataclass(slots=True, kw_only=True)
class Stage:
    """An Envoy with one listener to service a; ``x`` is a server of a, ``y`` one of b."""

    directory: Path
    x: tuple[str, int]
    y: tuple[str, int]
    admin_address: tuple[str, int]
    one: tuple[str, int]
    two: tuple[str, int]
    admin: EnvoyAdmin = field(init=False)

    def __post_init__(self) -> None:
        self.admin = EnvoyAdmin(AdminAddress(*self.admin_address), deadline_s=10.0)

    def files(
        self, version: str, listeners: list[Json], *clusters: Json, **shared: bytes
    ) -> dict[str, bytes]:
        """A set with whatever service its clusters need; ``shared`` are services' route files."""
        eds = {"a": endpoints("ea", "a", self.x), "b": endpoints("eb", "b", self.y)}
        names = [cluster["name"].removeprefix("outbound/") for cluster in clusters]
        return node_files(
            listeners=listeners,
            clusters=list(clusters),
            version=version,
            admin=self.admin_address,
            shared={f"{name}/eds.json": eds[name] for name in names}
            | {f"{name}/rds-outbound.json": data for name, data in shared.items()},
        )

    def deliver(self, files: dict[str, bytes]) -> DeliveryResult:
        """Deliver as the agent does it, with more patience for a machine that is busy."""
        return deliver(
            bundle(files), self.directory, admin=self.admin, patience=Patience(notice=0.4)
        )

    def count(self, counter: str) -> int:
        """One of Envoy's counters."""
        found = self.admin._stats(f"filter=^{counter}$")[counter]
        assert isinstance(found, int)
        return found


def to(name: str, address: tuple[str, int], service: str) -> Json:
    """A listener that holds its routes; Envoy refuses it where the cluster is not known."""
    listener = http_listener(name, address, service)
    manager: dict[str, Any] = listener["filter_chains"][0]["filters"][0]["typed_config"]
    del manager["rds"]
    route = {"match": {"prefix": "/"}, "route": {"cluster": f"outbound/{service}"}}
    manager["route_config"] = {
        "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]
    }
    return listener


def following(name: str, address: tuple[str, int], service: str) -> Json:
    """A listener that follows the route file of a service."""
    return http_listener(name, address, service)


def route_file(version: str, service: str, cluster: str) -> bytes:
    """A route file of one service that leads to the cluster of another."""
    return routes(version, f"outbound/{service}", f"outbound/{cluster}")


def cluster(service: str, **more: object) -> Json:
    """The cluster of a service."""
    return eds_cluster(f"outbound/{service}", service, **more)


@contextlib.contextmanager
def set_up(folder: Path) -> Iterator[Stage]:
    """Servers and places, with nothing running in front of them."""
    with upstream(HOST, "x") as x, upstream(HOST, "y") as y:
        ports = free_ports(HOST, 3)
        admin, one, two = ((HOST, port) for port in ports)
        yield Stage(directory=folder / "node", x=x, y=y, admin_address=admin, one=one, two=two)


@contextlib.contextmanager
def on_stage(folder: Path, *, drain_s: int = 1, follows: bool = False) -> Iterator[Stage]:
    """The same with an Envoy that runs the first set, in which all calls go to a."""
    with set_up(folder) as stage:
        materialize(bundle(first_files(stage, follows=follows)), stage.directory)
        with running_envoy(stage.directory, stage.admin_address, drain_s):
            until(lambda: get(stage.one) == "x", "a first answer")
            yield stage


def first_files(stage: Stage, *, follows: bool = False) -> dict[str, bytes]:
    """The set with which it begins."""
    if follows:
        listener = following("to-a", stage.one, "a")
        return stage.files("1", [listener], cluster("a"), a=route_file("ra1", "a", "a"))
    return stage.files("1", [to("to-a", stage.one, "a")], cluster("a"))


@contextlib.contextmanager
def restarted(stage: Stage) -> Iterator[None]:
    """An Envoy that starts with what lies there, whether it likes that or not."""
    command = [str(envoy_or_skip()), "-c", "bootstrap.json", "--concurrency", "1"]
    with (stage.directory / "again.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--disable-hot-restart"], cwd=stage.directory, stdout=log, stderr=log
        )
    try:
        end = time.monotonic() + _START_LIMIT_S
        while not _has_read_listeners(stage):
            assert process.poll() is None, "Envoy does not even start"
            assert time.monotonic() < end, "Envoy does not answer"
            time.sleep(0.01)
        yield
    finally:
        process.terminate()
        process.wait(10)


def _has_read_listeners(stage: Stage) -> bool:
    try:
        return stage.count("listener_manager.lds.update_attempt") > 0
    except (AdminError, KeyError):
        return False
