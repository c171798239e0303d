"""The sample mesh on addresses of its own: real Envoys, agents and applications, and requests."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
from typing import TYPE_CHECKING

from meshc.demo.mesh import DemoMesh
from meshc.demo.processes import Processes
from meshc.demo.sample import sample_specs
from meshc.demo.signals import Signals
from tests.delivery.live import envoy_or_skip

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_SAMPLE_NETWORK = "127.0.34."
_PATIENCE_S = 10


def own_network(number: int) -> str:
    """The first three parts of loopback addresses that no other test process uses."""
    return f"127.{number}.{os.getpid() % 250 + 1}."


@contextlib.contextmanager
def running_sample(
    folder: Path, network: str, *, mesh: str = "", services: Mapping[str, str] | None = None
) -> Iterator[DemoMesh]:
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
    processes = Processes(folder, Signals())
    try:
        running = DemoMesh(folder, envoy, processes)
        running.start(running.compile())
        running.apply()
        yield running
    finally:
        processes.stop()


def call(
    address: tuple[str, int], *, path: str = "/", fields: Mapping[str, str] | None = None
) -> str:
    """Call the sample once from outside of the mesh; anything but an answer fails the test."""
    connection = http.client.HTTPConnection(*address, timeout=_PATIENCE_S)
    try:
        connection.request("GET", path, headers=dict(fields or {}))
        answer = connection.getresponse()
        text = answer.read().decode()
        assert answer.status == 200, text
        return text
    finally:
        connection.close()
