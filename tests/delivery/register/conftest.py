"""Somebody who registers a mesh that nobody else uses, in a real Consul."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from meshc.cli import run
from tests.delivery.register.between import Between
from tests.delivery.register.samples import Mesh, small_mesh

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from meshc.consul.client import ConsulClient
    from tests.consul.server import ConsulServer


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


@dataclass(slots=True)
class Registrar:
    """Runs `meshc consul` on the bundle of a mesh."""

    mesh: Mesh
    server: ConsulServer
    client: ConsulClient
    capture: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    def run(self, *arguments: str) -> Answer:
        """Build, and run a command of the group."""
        self.mesh.build()
        return self.run_only(*arguments)

    def run_only(self, *arguments: str) -> Answer:
        for name, value in self.server.environment().items():
            self.monkeypatch.setenv(name, value)
        self.monkeypatch.setenv("MESHC_OUT", str(self.mesh.out))
        self.capture.readouterr()
        code = run(["consul", *arguments])
        return Answer(code, *self.capture.readouterr())

    def through(self, between: Between, *arguments: str) -> Answer:
        """Run a sync that reaches Consul by way of somebody."""
        return self.run("sync", *arguments, "--consul-address", between.address)

    def name(self, node: str) -> str:
        return f"meshc-{self.mesh.name}-{node}"

    def registered(self) -> dict[str, dict[str, tuple[str, str, int]]]:
        """Node → id of a service → its name, address, port; as Consul itself tells."""
        expression = f'Meta["meshc-mesh"] == "{self.mesh.name}"'
        nodes = self.client.catalog_nodes(filter_expression=expression).value
        return {one["Node"]: self.services(one["Node"]) for one in nodes}

    def services(self, node: str) -> dict[str, tuple[str, str, int]]:
        found = self.client.catalog_node_services(node).value
        assert found is not None
        return {
            key: (one["Service"], one.get("Address", ""), one.get("Port", 0))
            for key, one in found["Services"].items()
        }

    def indexes(self) -> dict[str, int]:
        """When each entry of this mesh was last written."""
        found = {}
        for name in self.registered():
            node = self.client.catalog_node_services(name).value
            assert node is not None
            found[name] = node["Node"]["ModifyIndex"]
            found |= {f"{name} {key}": one["ModifyIndex"] for key, one in node["Services"].items()}
        return found


@pytest.fixture
def registrar(
    consul_dev: ConsulServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Registrar]:
    mesh = small_mesh(tmp_path, f"reg{secrets.token_hex(4)}")
    with consul_dev.client() as client:
        yield Registrar(mesh, consul_dev, client, capsys, monkeypatch)


@pytest.fixture
def between(registrar: Registrar) -> Iterator[Between]:
    with Between(registrar.server) as found:
        yield found
