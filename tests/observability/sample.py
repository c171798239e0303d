"""The sample mesh on addresses of its own: real Envoys, agents and applications, and requests."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import socket
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshc.delivery.agent.prepare import prepare
from meshc.delivery.agent.settings import AgentSettings
from meshc.delivery.agent.status import read_status
from meshc.demo.processes import Processes
from meshc.demo.sample import sample_specs
from meshc.demo.signals import Signals
from meshc.pipeline import BuildOptions, build
from tests.delivery.live import envoy_or_skip, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_SAMPLE_NETWORK = "127.0.34."
_PATIENCE_S = 10
NODES = {"front1": 70, "myapp1": 71, "myapp2": 72, "store1": 73}
"""The sample's hosts, and the last part of their addresses."""
SERVICES = {"front1": "front", "myapp1": "app", "myapp2": "app", "store1": "store"}
INGRESS, ADMIN, TO_APP, TO_STORE, AGENT = 8000, 9901, 9001, 9002, 9902
"""Ports of the sample, and the one at which agents serve their metrics."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A running sample mesh."""

    network: str
    folder: Path
    processes: Processes

    def host(self, node: str) -> str:
        return f"{self.network}{NODES[node]}"

    def call(self, path: str = "/", **fields: str) -> str:
        """Call front from outside; anything but a good answer fails the test."""
        connection = http.client.HTTPConnection(self.host("front1"), INGRESS, timeout=_PATIENCE_S)
        try:
            connection.request("GET", path, headers=fields)
            answer = connection.getresponse()
            text = answer.read().decode()
            assert answer.status == 200, text
            return text
        finally:
            connection.close()

    def is_settled(self) -> bool:
        """Whether every agent says that its Envoy runs what was built."""
        self.processes.check()
        found = [read_status(self.folder / node / ".agent") or {} for node in NODES]
        return all(status.get("state") == "ok" for status in found)


def own_network(number: int) -> str:
    """The first three parts of loopback addresses that no other test process uses."""
    return f"127.{number}.{os.getpid() % 250 + 1}."


@contextlib.contextmanager
def running_sample(
    folder: Path, network: str, *, mesh: str = "", services: Mapping[str, str] | None = None
) -> Iterator[Sample]:
    """Run the sample in a network like ``127.48.1.``; ``mesh`` is added to its `mesh.yaml`.

    ``services`` are documents beside those of the sample, by name.
    """
    envoy = envoy_or_skip()
    specs = folder / "specs"
    shutil.copytree(sample_specs(), specs)
    for path in specs.glob("*.yaml"):
        path.write_text(path.read_text().replace(_SAMPLE_NETWORK, network))
    with (specs / "mesh.yaml").open("a") as stream:
        stream.write(mesh)
    for name, text in (services or {}).items():
        (specs / f"{name}.yaml").write_text(text)
    result = build(specs, BuildOptions(out=folder / "out", envoy=envoy))
    assert not result.has_errors, result.diagnostics
    # The applications remove the folder that they are told, and logs are worth keeping.
    sample = Sample(network, folder, Processes(folder / "temporary", Signals()))
    try:
        _start(sample, envoy)
        until(sample.is_settled, "agents that say ok")
        yield sample
    finally:
        sample.processes.stop()


def _start(sample: Sample, envoy: Path) -> None:
    for node, order in _applications(sample).items():
        sample.processes.start_application({"name": node, "host": sample.host(node), **order})
    envoys = [str(envoy), "-c", "bootstrap.json", "--concurrency", "1", "--disable-hot-restart"]
    for node in NODES:
        target = sample.folder / node
        settings = AgentSettings(
            node=node,
            source=str(sample.folder / "out"),
            target=target,
            state=target / ".agent",
            envoy="none",
            metrics=f"http://{sample.host(node)}:{AGENT}",
        )
        prepare(settings)
        sample.processes.start("Envoy", node, envoys, target)
        _await_answers(sample, node)
        told = {
            "node": settings.node,
            "source": settings.source,
            "target": str(target),
            "envoy": settings.envoy,
            "metrics": settings.metrics,
        }
        flags = [part for key, value in told.items() for part in (f"--{key}", value)]
        agent = [sys.executable, "-m", "meshc", "agent", "run", *flags]
        sample.processes.start("agent", node, agent, target)


def _applications(sample: Sample) -> dict[str, dict[str, object]]:
    """What each host's application is."""
    front = sample.host("front1")
    return {
        "store1": {"kind": "store", "port": 9100},
        "myapp1": {"kind": "app", "port": 9000},
        "myapp2": {"kind": "app", "port": 9000},
        "front1": {"kind": "front", "port": 8080, "app": [front, 9001], "store": [front, 9002]},
    }


def _await_answers(sample: Sample, node: str) -> None:
    """Wait until a node's Envoy accepts connections."""

    def accepts() -> bool:
        sample.processes.check()
        with contextlib.suppress(OSError):
            socket.create_connection((sample.host(node), INGRESS), timeout=1).close()
            return True
        return False

    until(accepts, f"the Envoy of {node}")
