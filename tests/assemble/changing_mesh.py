"""A small mesh that changes at random, as people change one, and its folder of specs."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from meshc.spec.policies import POLICY_SPECS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

Document = dict[str, Any]

PROTOCOLS = ("HTTP", "HTTP2", "GRPC", "TCP")
SETTINGS: tuple[Document, ...] = (
    {},
    {"endpoints": "inline"},
    {"routes": "inline"},
    {"endpoints": "inline", "routes": "inline"},
    {"drainTime": "7s"},
    {"xdsDirectory": "."},
    {"labels": {"stage": "test"}},
    {"tracing": {"zipkin": {"host": "10.9.9.9"}}},
    {"accessLog": {"enabled": False}},
    {"defaults": {"circuitBreakers": {"maxConnections": 7}}},
    {"defaults": {"inbound": {"maxConnections": 70}, "outlierDetection": {"enabled": False}}},
    {"defaults": {"retries": {"attempts": 6}}},
)
OVERRIDES: tuple[Document, ...] = (
    {},
    {"circuitBreakers": {"maxConnections": 3}},
    {"timeouts": {"request": "3s"}},
    {"timeouts": {"request": "4s"}, "circuitBreakers": {"maxConnections": 4}},
    {"retries": {"attempts": 1}, "outlierDetection": {"consecutiveFailures": 9}},
    {"outlierDetection": {"enabled": False}},
    {"healthChecks": {"interval": "9s"}},
)
INBOUND: tuple[Document, ...] = ({}, {}, {"inbound": {"maxConnections": 30}})


class ChangingMesh:
    """Documents by service name, valid at every moment."""

    def __init__(self, root: Path, random: Random) -> None:
        self.root = root
        self.random = random
        self.settings: Document = {}
        self.services: dict[str, Document] = {}
        self.folders: dict[str, str] = {}
        self._count = 0
        for _ in range(5):
            self.add_service()
        for _ in range(6):
            self.add_dependency()

    @property
    def edits(self) -> tuple[Callable[[], None], ...]:
        """All kinds of change."""
        return (
            self.add_service,
            self.remove_service,
            self.add_host,
            self.remove_host,
            self.move_host,
            self.share_host,
            self.describe_host,
            self.add_dependency,
            self.remove_dependency,
            self.override,
            self.follow_health,
            self.take_from_consul,
            self.change_policy,
            self.change_protocol,
            self.change_settings,
            self.move_document,
            self.put_outside,
            self.rename_service,
        )

    def write(self) -> None:
        """Write all documents into an empty folder; JSON is YAML."""
        self._leave_out_what_cannot_be()
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir()
        for name, document in self.services.items():
            folder = self.root / self.folders[name]
            folder.mkdir(exist_ok=True)
            (folder / f"{name}.yaml").write_text(json.dumps(document, indent=1) + "\n")
        if self.settings:
            (self.root / "mesh.yaml").write_text(json.dumps(self.settings) + "\n")

    def add_service(self) -> None:
        name = f"service-{self._new()}"
        self.services[name] = {"protocol": "HTTP", "hosts": [], "dependentServices": []}
        self.folders[name] = "."
        for _ in range(self.random.randint(1, 3)):
            self._add_host_to(name)

    def remove_service(self) -> None:
        if len(self.services) > 2:
            name = self._service()
            del self.services[name], self.folders[name]
            for document in self.services.values():
                calls = document["dependentServices"]
                document["dependentServices"] = [c for c in calls if c["name"] != name]

    def add_host(self) -> None:
        self._add_host_to(self._service())

    def remove_host(self) -> None:
        hosts = self.services[self._service()]["hosts"]
        if len(hosts) > 1:
            hosts.pop(self.random.randrange(len(hosts)))

    def move_host(self) -> None:
        host = self.random.choice(self.services[self._service()]["hosts"])
        address = host.get("ingressAddr") or host["externalAddr"]
        address["port"] = 10_000 + self._new()

    def share_host(self) -> None:
        """Run a second service on a host of the first."""
        first, second = self._service(), self._service()
        host = dict(self.random.choice(self.services[first]["hosts"]))
        names = {host["name"] for host in self.services[second]["hosts"]}
        if host["name"] in names or "externalAddr" in host or self._is_outside(second):
            return
        host["ingressAddr"] = {**host["ingressAddr"], "port": 10_000 + self._new()}
        host["substanceAddr"] = {**host["substanceAddr"], "port": 20_000 + self._new()}
        self.services[second]["hosts"].append(host)

    def describe_host(self) -> None:
        """Say something about a host in one of its documents, which holds in all of them."""
        name = self.random.choice(self.services[self._service()]["hosts"])["name"]
        entries = [
            host
            for document in self.services.values()
            for host in document["hosts"]
            if host["name"] == name and "externalAddr" not in host
        ]
        for entry in entries:
            for key in ("labels", "locality", "adminAddr"):
                entry.pop(key, None)
        if entries:
            number = self._new()
            facts: tuple[Document, ...] = (
                {"labels": {"rack": f"r{number}"}},
                {"locality": {"region": "east", "zone": f"east-{number}"}},
                {"adminAddr": {"host": "127.0.0.1", "port": 40_000 + number}},
                {},
            )
            self.random.choice(entries).update(self.random.choice(facts))

    def add_dependency(self) -> None:
        caller, target = self._service(), self._service()
        calls = self.services[caller]["dependentServices"]
        if (
            caller != target
            and not self._is_outside(caller)
            and all(call["name"] != target for call in calls)
        ):
            calls.append({"name": target, "egressPort": 30_000 + self._new()})

    def remove_dependency(self) -> None:
        calls = self.services[self._service()]["dependentServices"]
        if calls:
            calls.pop(self.random.randrange(len(calls)))

    def override(self) -> None:
        """Let a caller have its own timeouts or limits, or no longer."""
        calls = self._calls_within(self._service())
        if calls:
            call = self.random.choice(calls)
            kept = {key: call[key] for key in ("name", "egressPort")}
            call.clear()
            call.update(kept, **self._policies_for(kept["name"]))

    def follow_health(self) -> None:
        """Let a caller use hosts that pass in Consul alone, or all of them again."""
        calls = self._calls_within(self._service())
        if calls:
            call = self.random.choice(calls)
            if call.pop("health", None) is None:
                call["health"] = {"from": "consul", "panicThreshold": self.random.randint(0, 2)}

    def take_from_consul(self) -> None:
        """Call a service that only Consul knows, or another one of its tags."""
        caller = self._service()
        if not self._is_outside(caller):
            calls = self._calls_within(caller)
            calls.append(
                {
                    "name": self.random.choice(("known-tcp", "known-http")),
                    "egressPort": 30_000 + self._new(),
                    "from": "consul",
                    "tags": self.random.choice(([], ["a"], ["b", "a"])),
                }
            )
            calls[-1]["protocol"] = "TCP" if calls[-1]["name"] == "known-tcp" else "HTTP"
            self.services[caller]["dependentServices"] = calls

    def _calls_within(self, caller: str) -> list[Document]:
        return [call for call in self.services[caller]["dependentServices"] if "from" not in call]

    def _leave_out_what_cannot_be(self) -> None:
        """Forget what Consul should say where endpoints have no files, or hosts are outside."""
        is_inline = self.settings.get("endpoints") == "inline"
        for document in self.services.values():
            calls = document["dependentServices"]
            for call in calls:
                if is_inline or ("from" not in call and self._is_outside(call["name"])):
                    call.pop("health", None)
            if is_inline:
                document["dependentServices"] = [call for call in calls if "from" not in call]

    def change_policy(self) -> None:
        name = self._service()
        document = self.services[name]
        for key in POLICY_SPECS:
            document.pop(key, None)
        document.update(self._policies_for(name))
        if not self._is_outside(name):
            document.update(self.random.choice(INBOUND))

    def change_protocol(self) -> None:
        name = self._service()
        self.services[name]["protocol"] = self.random.choice(PROTOCOLS)
        for document in self.services.values():
            for policies in (document, *document["dependentServices"]):
                if policies is self.services[name] or policies.get("name") == name:
                    policies.pop("timeouts", None)

    def change_settings(self) -> None:
        self.settings = dict(self.random.choice(SETTINGS))

    def move_document(self) -> None:
        self.folders[self._service()] = self.random.choice((".", "team-a", "team-b"))

    def rename_service(self) -> None:
        """Give a service a new name; its document stays the same to the byte."""
        old, new = self._service(), f"service-{self._new()}"
        self.services[new] = self.services.pop(old)
        self.folders[new] = self.folders.pop(old)
        for document in self.services.values():
            for call in document["dependentServices"]:
                if call["name"] == old:
                    call["name"] = new

    def put_outside(self) -> None:
        """Replace all hosts of a service by one outside the mesh."""
        name = self._service()
        host = self.random.choice((f"10.200.0.{self._new() % 250 + 1}", "example.org"))
        self.services[name]["hosts"] = [
            {"name": f"outside-{self._new()}", "externalAddr": {"host": host, "port": 8443}}
        ]
        self.services[name]["dependentServices"] = []
        self.services[name].pop("inbound", None)

    def _add_host_to(self, name: str) -> None:
        if not self._is_outside(name):
            number = self._new()
            self.services[name]["hosts"].append(
                {
                    "name": f"host-{number}",
                    "ingressAddr": {"host": f"10.0.{number // 250}.{number % 250 + 1}", "port": 80},
                    "substanceAddr": {"host": "127.0.0.1", "port": 9000},
                }
            )

    def _is_outside(self, name: str) -> bool:
        return any("externalAddr" in host for host in self.services[name]["hosts"])

    def _policies_for(self, target: str) -> Document:
        policies = dict(self.random.choice(OVERRIDES))
        if self.services[target]["protocol"] == "TCP":
            policies.pop("timeouts", None)
        return policies

    def _service(self) -> str:
        return self.random.choice(sorted(self.services))

    def _new(self) -> int:
        self._count += 1
        return self._count
