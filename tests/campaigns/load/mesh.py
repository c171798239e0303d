"""The specs of a small mesh as they are now, and every way in which they can change.

One node is looked at: it hosts `front`, which calls `app` (or its `twin`) over HTTP, `store` over
TCP, and `extra` only now and then.  What a change is expected to do is said here, by hand.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.campaigns.load.generator import Target

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping
    from pathlib import Path

NODE = "n1"
_HOSTS = {"app": ("app1", "app2", "app3"), "twin": ("twin1", "twin2", "twin3")}
SERVERS = ("front", *_HOSTS["app"], *_HOSTS["twin"], "store1", "store2", "extra1")

Address = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where everything listens; chosen once."""

    servers: Mapping[str, Address]
    admin: Address
    ingress: Address
    app: Address
    store: Address
    extra: tuple[Address, Address]


@dataclass(slots=True, kw_only=True)
class Mesh:
    """What the specs say; `write` writes them down."""

    places: Places
    logs: Path
    drain_s: int = 2
    hosts: dict[str, dict[str, int]] = field(
        default_factory=lambda: {"app": {"app1": 1, "app2": 1}, "twin": {"twin1": 1, "twin2": 1}}
    )
    """Hosts of `app` and its twin with their weights."""
    called: str = "app"
    request_s: int = 10
    attempts: int = 0
    breakers: int = 1000
    balancing: str = "roundRobin"
    store_idle_s: int = 600
    extra_at: Address | None = None
    is_logging: bool = False
    routes: str = "file"
    endpoints: str = "file"

    def write(self, specs: Path) -> None:
        """Replace all documents."""
        for name, document in self._documents().items():
            (specs / f"{name}.yaml").write_text(json.dumps(document, indent=1), encoding="utf-8")

    def targets(self) -> list[Target]:
        """Whom to ask while this changes; the app's port answers for its twin as well."""
        places = self.places
        answers = frozenset(_HOSTS["app"] + _HOSTS["twin"])
        found = [
            Target(name="app", address=places.app, answers=answers, kept=6, new=2, slow=3),
            Target(
                name="store", address=places.store, answers=frozenset({"store1", "store2"}), new=2
            ),
            Target(
                name="ingress",
                address=places.ingress,
                answers=frozenset({"front"}),
                kept=2,
                new=1,
                slow=1,
            ),
        ]
        if self.extra_at is not None:
            answers = frozenset({"extra1"})
            found.append(
                Target(name="extra", address=self.extra_at, answers=answers, kept=2, new=1)
            )
        return found

    def expected(self) -> dict[Address, set[str]]:
        """Who answers where, exactly, once these specs are in force."""
        places = self.places
        found = {
            places.app: set(self.hosts[self.called]),
            places.store: {"store1", "store2"},
            places.ingress: {"front"},
        }
        if self.extra_at is not None:
            found[self.extra_at] = {"extra1"}
        return found

    def closed(self) -> list[Address]:
        """Where nobody may listen any more."""
        return [place for place in self.places.extra if place != self.extra_at]

    def _documents(self) -> dict[str, dict[str, Any]]:
        places = self.places
        called: dict[str, Any] = {
            "name": self.called,
            "egressPort": places.app[1],
            "timeouts": {"request": f"{self.request_s}s"},
            "retries": {"attempts": self.attempts},
            "circuitBreakers": {"maxRequests": self.breakers},
            "loadBalancing": {"policy": self.balancing},
        }
        store = {
            "name": "store",
            "egressPort": places.store[1],
            "timeouts": {"idle": f"{self.store_idle_s}s"},
        }
        calls = [called, store]
        if self.extra_at is not None:
            calls.append({"name": "extra", "egressPort": self.extra_at[1]})
        host = {
            "name": NODE,
            "ingressAddr": _place(places.ingress),
            "substanceAddr": _place(places.servers["front"]),
            "egressHost": places.app[0],
        }
        return {
            "front": {"protocol": "HTTP", "hosts": [host], "dependentServices": calls},
            "app": self._outside("HTTP", self.hosts["app"]),
            "twin": self._outside("HTTP", self.hosts["twin"]),
            "store": self._outside("TCP", {"store1": 1, "store2": 1}),
            "extra": self._outside("HTTP", {"extra1": 1}),
            "mesh": {
                "name": "campaign",
                "admin": {"host": places.admin[0], "port": places.admin[1]},
                "accessLog": {"enabled": self.is_logging, "directory": str(self.logs)},
                "connectTimeout": "5s",
                "drainTime": f"{self.drain_s}s",
                "xdsDirectory": ".",
                "routes": self.routes,
                "endpoints": self.endpoints,
            },
        }

    def _outside(self, protocol: str, hosts: Mapping[str, int]) -> dict[str, Any]:
        return {
            "protocol": protocol,
            "hosts": [
                {"name": name, "externalAddr": _place(self.places.servers[name]), "weight": weight}
                for name, weight in hosts.items()
            ],
        }


def _place(address: Address) -> dict[str, Any]:
    return {"host": address[0], "port": address[1]}


# --- changes; each returns what it has done, and always does something ---------------------------


def _endpoint(mesh: Mesh, draw: random.Random) -> str:
    hosts = mesh.hosts[mesh.called]
    absent = [name for name in _HOSTS[mesh.called] if name not in hosts]
    if absent and (len(hosts) == 1 or draw.random() < 0.5):
        hosts[draw.choice(absent)] = 1
        return "endpoint added"
    del hosts[draw.choice(sorted(hosts))]
    return "endpoint removed"


def _weight(mesh: Mesh, draw: random.Random) -> str:
    hosts = mesh.hosts[mesh.called]
    name = draw.choice(sorted(hosts))
    hosts[name] = _other(draw, hosts[name], 1, 5)
    return "weight changed"


def _route(mesh: Mesh, draw: random.Random) -> str:
    mesh.request_s = _other(draw, mesh.request_s, 8, 30)
    mesh.attempts = draw.randint(0, 2)
    return "route changed"


def _rename(mesh: Mesh, _draw: random.Random) -> str:
    mesh.called = "twin" if mesh.called == "app" else "app"
    return "cluster renamed"


def _cluster(mesh: Mesh, draw: random.Random) -> str:
    mesh.breakers = _other(draw, mesh.breakers, 500, 2000)
    mesh.balancing = draw.choice(["roundRobin", "leastRequest", "random"])
    return "cluster modified"


def _come_or_go(mesh: Mesh, draw: random.Random) -> str:
    if mesh.extra_at is None:
        mesh.extra_at = draw.choice(mesh.places.extra)
        return "listener added"
    mesh.extra_at = None
    return "listener removed"


def _move(mesh: Mesh, draw: random.Random) -> str:
    if mesh.extra_at is None:
        return _come_or_go(mesh, draw)
    one, two = mesh.places.extra
    mesh.extra_at = two if mesh.extra_at == one else one
    return "listener moved to another port"


def _proxy(mesh: Mesh, draw: random.Random) -> str:
    mesh.store_idle_s = _other(draw, mesh.store_idle_s, 300, 900)
    return "listener modified (TCP)"


def _access_logs(mesh: Mesh, _draw: random.Random) -> str:
    mesh.is_logging = not mesh.is_logging
    return "all listeners modified (access logs)"


def _routes_elsewhere(mesh: Mesh, _draw: random.Random) -> str:
    mesh.routes = "inline" if mesh.routes == "file" else "file"
    return "all listeners modified (routes into a file or out of it)"


def _endpoints_elsewhere(mesh: Mesh, _draw: random.Random) -> str:
    mesh.endpoints = "inline" if mesh.endpoints == "file" else "file"
    return "all clusters modified (endpoints into a file or out of it)"


_CHANGES: tuple[Callable[[Mesh, random.Random], str], ...] = (
    *(_endpoint, _endpoint, _weight, _route, _rename, _rename, _cluster, _come_or_go, _move),
    *(_proxy, _access_logs, _routes_elsewhere, _endpoints_elsewhere),
)


class Drawing:
    """Draws changes in an order of its own, each kind once a round, so that none is left out."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        self._left: list[Callable[[Mesh, random.Random], str]] = []

    def change(self, mesh: Mesh) -> str:
        """Change the mesh; returns what was done."""
        if not self._left:
            self._left = list(_CHANGES)
            self._draw.shuffle(self._left)
        return self._left.pop()(mesh, self._draw)


def _other(draw: random.Random, now: int, low: int, high: int) -> int:
    """Draw another number than the one now."""
    number = draw.randint(low, high - 1)
    return number + (number >= now)
