"""The dynamic mode: Envoys that fetch from one `meshc serve`, in plain text on loopback."""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from meshc.artifact.layout import BOOTSTRAP
from meshc.artifact.store import DirectoryStore
from meshc.delivery.errors import DeliveryError
from meshc.delivery.xds.bootstrap import Subscribing, check_bootstrap, grpc_bootstrap
from meshc.delivery.xds.process.asking import ask_status
from meshc.delivery.xds.process.render import verdict
from meshc.delivery.xds.transport.addresses import Address
from meshc.demo.errors import DemoError

if TYPE_CHECKING:
    from meshc.artifact.store import NodeBundle
    from meshc.demo.channel import Places, Wanted
    from meshc.demo.processes import Processes

LISTEN = ("127.0.34.69", 18_000)
CONTROL = ("127.0.34.69", 18_001)
_WHAT, _WHERE = "server", "the mesh"
_POLL_S = "0.1"
_PAUSE_S = 0.02
_LIMIT_S = 60.0
_REFUSED = "refused"
_NEEDED = frozenset({"CDS", "LDS"})


class Server:
    """One server for all hosts."""

    programs = "Envoy, application; a server for all"
    is_first = True

    def __init__(self, places: Places, processes: Processes) -> None:
        if importlib.util.find_spec("grpclib") is None:
            raise DemoError(
                "the dynamic mode needs grpclib, which is not installed",
                hint="pip install 'meshc[serve]'",
            )
        self._places = places
        self._processes = processes

    def open(self) -> None:
        """Start the server unless it runs, and wait until it serves what was published."""
        if not self._processes.has(_WHAT, _WHERE):
            command = [
                *(sys.executable, "-m", "meshc", "serve", "--plaintext"),
                *("--source", str(self._places.published), "--poll", _POLL_S),
                *("--listen", str(Address(*LISTEN)), "--control", str(Address(*CONTROL))),
            ]
            self._processes.start(_WHAT, _WHERE, command, self._places.folder)
        build = DirectoryStore(self._places.published).manifest().generation
        limit = time.monotonic() + _LIMIT_S
        while (status := self._status()).get("generation") != build:
            self._processes.check()
            if time.monotonic() > limit:
                said = status.get("problem") or "nothing"
                raise DemoError(f"the server does not serve what was published; it says: {said}")
            time.sleep(_PAUSE_S)

    def stop(self) -> None:
        """End the server; Envoys go on with what they have."""
        self._processes.end(_WHAT, _WHERE)

    def equip(self, bundle: NodeBundle) -> None:
        """Write a bootstrap that names the server, and no other file."""
        bootstrap = grpc_bootstrap(
            json.loads(bundle.files[BOOTSTRAP]),
            [LISTEN],
            subscribing=Subscribing.DELTA_ADS,
            credentials=None,
        )
        check_bootstrap(bootstrap)
        place = self._places.host(bundle.node)
        place.mkdir(parents=True, exist_ok=True)
        (place / BOOTSTRAP).write_text(json.dumps(bootstrap), encoding="utf-8")

    def attend(self, node: str) -> None:
        """Nothing runs beside an Envoy."""

    def is_delivered(self, node: str, wanted: Wanted) -> bool:
        """Whether the host's Envoy has accepted all that it is to have of this build."""
        status = self._status()
        stream = _stream(status, node)
        return (
            status.get("generation") == wanted.build
            and stream.get("is_settled", False)
            and stream["types"].keys() >= _NEEDED
        )

    def problem_of(self, node: str, wanted: Wanted) -> str:
        """Return what the server says where the Envoy has refused something of this build."""
        status = self._status()
        kinds = _stream(status, node).get("types", {}).values()
        is_refused = any(kind["state"] == _REFUSED for kind in kinds)
        if status.get("generation") == wanted.build and is_refused:
            return self.say_of(node)
        return ""

    def say_of(self, node: str) -> str:
        """Return the first line of the server's status."""
        del node
        status = self._status()
        return f"the server says: {verdict(status)[0] if status else 'nothing'}"

    def responses(self) -> dict[str, int]:
        """How many responses each connected host was sent since it is connected."""
        return {one["node"]: one["responses"] for one in self._status().get("streams", ())}

    def commands(self, node: str) -> tuple[str, ...]:
        """Return what can be asked of the server."""
        return (
            f"meshc serve status --control {Address(*CONTROL)}",
            f"look into {self._places.host(node)}      its bootstrap, Envoy's log",
        )

    def _status(self) -> dict[str, Any]:
        try:
            return ask_status(Address(*CONTROL))
        except DeliveryError:
            return {}


def _stream(status: dict[str, Any], node: str) -> dict[str, Any]:
    """Return what the server says of a host; nothing where it is not connected."""
    for one in status.get("streams", ()):
        if one["node"] == node:
            return dict(one)
    return {}
