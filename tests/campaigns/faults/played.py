"""An Envoy that is played: it reads files when they are renamed, and answers over HTTP.

It does what was measured of Envoy 1.40: a file is read when another inode has its name; listeners
are looked at before clusters, which is the unlucky order; what refers to a missing file is
refused, and the rest of that file applied; a removed listener drains for a while and follows its
routes until it is gone.  What a client would have seen as 503 is noted in ``served_wrongly``.
"""

from __future__ import annotations

import json
import os
import re
import socket
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

_CDS, _LDS = "cluster_manager.cds.", "listener_manager.lds."
_COUNTERS = ("update_attempt", "update_success", "update_rejected", "update_failure")
_DRAIN_LOOKS = 3


@dataclass(slots=True)
class _Subscription:
    version: str = ""
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_COUNTERS, 0))


class PlayedEnvoy:
    """Listens on a Unix socket while it is up; use it as a context manager."""

    def __init__(self, target: Path, address: Path, node: str = "n1") -> None:
        self.target = target
        self.address = address
        self.refuses: frozenset[str] = frozenset()
        """Versions of listener files that it refuses, as with a port that is taken."""
        self.overlooks = 0
        """How many renames of the listeners it overlooks, as after an overflow of its events."""
        self.served_wrongly: dict[str, None] = {}
        self._node = node
        self._lock = threading.Lock()
        self._server: socket.socket | None = None
        self._started = 0
        self._forget()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def _forget(self) -> None:
        self._seen: dict[str, int] = {}
        self._clusters: dict[str, dict[str, Any]] = {}
        self._listeners: dict[str, dict[str, Any]] = {}
        self._draining: list[dict[str, Any]] = []
        self._drain_looks = 0
        self._routes: dict[str, str] = {}
        self._stats: dict[str, _Subscription] = defaultdict(_Subscription)

    # --- process ------------------------------------------------------------------------------

    def start(self) -> None:
        """Start with what lies in the target: clusters first, as a starting Envoy does."""
        self._forget()
        self._started = int(time.time())
        self.served_wrongly = {}
        self._read_clusters()
        self._read_listeners()
        self._check("at its start")
        self.address.unlink(missing_ok=True)
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.bind(str(self.address))
        server.listen(64)
        self._server = server
        threading.Thread(target=self._serve, args=(server,), daemon=True).start()

    def stop(self) -> None:
        """End; nobody listens any more."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown(socket.SHUT_RDWR)
            server.close()
            self.address.unlink(missing_ok=True)

    def versions(self) -> dict[str, str]:
        """The versions it has accepted, of every subscription it has."""
        with self._lock:
            self._look()
            return {name: self._stats[name].version for name in self._subscriptions()}

    # --- files --------------------------------------------------------------------------------

    def look(self) -> None:
        """Take notice of renames."""
        with self._lock:
            self._look()

    def _look(self) -> None:
        for _ in range(2):  # a file may bring a subscription to another one
            if self._is_new("lds.json"):
                if self.overlooks > 0:
                    self.overlooks -= 1
                    self._seen["lds.json"] = (self.target / "lds.json").stat().st_ino
                else:
                    self._read_listeners()
            for path in list(self._route_files()):
                if self._is_new(path):
                    self._read_routes(path)
            for path in list(self._endpoint_files()):
                if self._is_new(path):
                    self._read_endpoints(path)
            if self._is_new("cds.json"):
                self._read_clusters()
            self._check("after a rename")

    def _is_new(self, path: str) -> bool:
        try:
            inode = (self.target / path).stat().st_ino
        except OSError:
            return False
        return self._seen.get(path) != inode

    def _load(self, path: str) -> dict[str, Any] | None:
        place = self.target / path
        try:
            with place.open("rb") as stream:
                self._seen[path] = stat_of(stream.fileno())
                found = json.load(stream)
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def _count(self, name: str, outcome: str, version: str = "") -> None:
        entry = self._stats[name]
        entry.counts["update_attempt"] += 1
        entry.counts[outcome] += 1
        if version:
            entry.version = version

    def _read_clusters(self) -> None:
        content = self._load("cds.json")
        if content is None:
            self._count(_CDS, "update_failure")
            return
        bad = False
        found: dict[str, dict[str, Any]] = {}
        for one in content["resources"]:
            name = one["name"]
            path = _path(one["eds_cluster_config"]["eds_config"])
            if self._clusters.get(name) == one:
                found[name] = one
            elif (self.target / path).is_file():
                found[name] = one
                self._read_endpoints(path, name)
            else:
                bad = True
                if name in self._clusters:
                    found[name] = self._clusters[name]
        self._clusters = found
        self._count(*((_CDS, "update_rejected") if bad else _accepted(_CDS, content)))

    def _read_endpoints(self, path: str, *fresh: str) -> None:
        content = self._load(path)
        names = [n for n, one in self._clusters.items() if self._eds(one) == path]
        for name in {*names, *fresh}:
            prefix = f"cluster.{name}."
            if content is None:
                self._count(prefix, "update_failure")
            else:
                self._count(*_accepted(prefix, content))

    def _read_listeners(self) -> None:
        content = self._load("lds.json")
        if content is None:
            self._count(_LDS, "update_failure")
            return
        is_refused = content["version_info"] in self.refuses
        bad = is_refused
        taken: dict[str, str] = {}
        found: dict[str, dict[str, Any]] = {}
        for one in content["resources"]:
            name = one["name"]
            address = json.dumps(one["address"])
            before = self._listeners.get(name)
            path = _path(_manager(one)["rds"]["config_source"])
            is_swap = any(
                json.dumps(other["address"]) == address and other["name"] != name
                for other in self._listeners.values()
                if other["name"] in {each["name"] for each in content["resources"]}
            )
            if before == one:
                found[name] = one
            elif is_refused or is_swap or address in taken or not (self.target / path).is_file():
                bad = True
                if before is not None:
                    found[name] = before
                continue
            else:
                found[name] = one
                self._read_routes(path)
            taken[address] = name
        self._drain([one for name, one in self._listeners.items() if found.get(name) != one])
        self._listeners = found
        self._count(*((_LDS, "update_rejected") if bad else _accepted(_LDS, content)))

    def _read_routes(self, path: str) -> None:
        content = self._load(path)
        name = f"outbound/{Path(path).parent.name}"
        prefix = f"http.{name}.rds.{name}."
        if content is None:
            self._count(prefix, "update_failure")
            return
        routes = content["resources"][0]["virtual_hosts"][0]["routes"]
        self._routes[path] = routes[0]["route"]["cluster"]
        self._count(*_accepted(prefix, content))

    def _drain(self, gone: list[dict[str, Any]]) -> None:
        if gone:
            self._draining += gone
            self._drain_looks = _DRAIN_LOOKS

    def _check(self, when: str) -> None:
        for one in [*self._listeners.values(), *self._draining]:
            path = _path(_manager(one)["rds"]["config_source"])
            cluster = self._routes.get(path)
            if cluster not in self._clusters:
                problem = f"listener {one['name']} sends to {cluster}, which is not there"
                self.served_wrongly[f"{when}: {problem}"] = None

    @staticmethod
    def _eds(cluster: dict[str, Any]) -> str:
        return _path(cluster["eds_cluster_config"]["eds_config"])

    def _endpoint_files(self) -> set[str]:
        return {self._eds(one) for one in self._clusters.values()}

    def _route_files(self) -> set[str]:
        listeners = [*self._listeners.values(), *self._draining]
        return {_path(_manager(one)["rds"]["config_source"]) for one in listeners}

    def _subscriptions(self) -> list[str]:
        routes = [f"outbound/{Path(path).parent.name}" for path in self._route_files()]
        return [
            *(_CDS, _LDS),
            *(f"cluster.{name}." for name in self._clusters),
            *(f"http.{name}.rds.{name}." for name in routes),
        ]

    # --- admin --------------------------------------------------------------------------------

    def _serve(self, server: socket.socket) -> None:
        while True:
            try:
                stream, _ = server.accept()
            except OSError:
                return
            with stream:
                try:
                    self._answer(stream)
                except OSError:
                    continue  # whoever asked was killed

    def _answer(self, stream: socket.socket) -> None:
        asked = b""
        while b"\r\n\r\n" not in asked:
            piece = stream.recv(65536)
            if not piece:
                return
            asked += piece
        address = urlsplit(asked.split(b" ", 2)[1].decode())
        with self._lock:
            self._look()
            body = json.dumps(self._content(address.path, parse_qs(address.query))).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        stream.sendall(head.encode() + body)

    def _content(self, path: str, query: dict[str, list[str]]) -> dict[str, Any]:
        if path == "/server_info":
            return {
                "version": "x/1.40.0/Clean",
                "node": {"id": self._node},
                "command_line_options": {"drain_time": "1s", "restart_epoch": 0},
                "uptime_current_epoch": f"{int(time.time()) - self._started}s",
            }
        if path == "/config_dump":
            return {"configs": [{"name": "to-c", "error_state": {"details": "port is taken"}}]}
        if path == "/listeners":
            return {
                "listener_statuses": [
                    {"name": name, "local_address": one["address"]}
                    for name, one in self._listeners.items()
                ]
            }
        stats = self._all_stats()
        if query.get("type") == ["TextReadouts"]:
            stats = {name: value for name, value in stats.items() if isinstance(value, str)}
        for pattern in query.get("filter", ()):
            stats = {name: value for name, value in stats.items() if re.search(pattern, name)}
        if "listener_manager.total_listeners_draining" in stats and self._draining:
            self._drain_looks -= 1
            if self._drain_looks <= 0:
                self._draining.clear()
        return {"stats": [{"name": name, "value": value} for name, value in stats.items()]}

    def _all_stats(self) -> dict[str, int | str]:
        found: dict[str, int | str] = {
            "cluster_manager.warming_clusters": 0,
            "listener_manager.total_listeners_warming": 0,
            "listener_manager.total_listeners_draining": len(self._draining),
            "listener_manager.total_filter_chains_draining": 0,
        }
        for name in self._subscriptions():
            entry = self._stats[name]
            found |= {f"{name}{counter}": count for counter, count in entry.counts.items()}
            found[f"{name}version_text"] = entry.version
        return found


def stat_of(descriptor: int) -> int:
    """The inode behind an open file."""
    return os.fstat(descriptor).st_ino


def _accepted(prefix: str, content: dict[str, Any]) -> tuple[str, str, str]:
    return prefix, "update_success", str(content["version_info"])


def _manager(listener: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return found


def _path(source: dict[str, Any]) -> str:
    return str(source["path_config_source"]["path"]).removeprefix("./")
