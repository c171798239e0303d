"""Strategies for whole meshes as plain data, right by construction.

A mesh is a mapping of file names to documents.  Every port of a mesh is used once, but for
applications that share their number with the ingress port at another address, so that whatever
a test takes from one host and gives to another clashes only where the test means it to.
"""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from tests.property.values import (
    PROTOCOLS,
    Data,
    durations,
    inbound,
    labels,
    name_lists,
    names,
    policies,
    subsets,
    token,
)

Documents = dict[str, Data]

# The admin page of a mesh whose own document is broken for a test; nothing else may be there.
_DEFAULT_ADMIN_PORT = 9901


# Read when the tests are collected: while they run, the environment is a clean one.
THOROUGHNESS = int(os.environ.get("MESHC_PROPERTY_EXAMPLES", "1"))
"""Multiplies the number of examples; 1 is the short form, which tries the same ones every time."""


@dataclass
class _Host:
    """A machine: what is said of it is the same wherever it is said."""

    name: str
    address: str
    locality: Data | None
    labels: dict[str, str]
    admin: Data | None


@dataclass
class _Ports:
    """Numbers that are used only once."""

    draw: st.DrawFn
    last: int = 1_000
    used: list[int] = field(default_factory=list)

    def fresh(self) -> int:
        self.last += self.draw(st.integers(1, 50))
        if self.last == _DEFAULT_ADMIN_PORT:
            self.last += 1
        return self.last


def _localities() -> st.SearchStrategy[Data]:
    return st.one_of(
        st.builds(lambda region: {"region": region}, names()),
        st.builds(lambda region, zone: {"zone": zone, "region": region}, names(), names()),
    )


def _addresses(number: int) -> st.SearchStrategy[str]:
    """The address of a machine; some are written longer than they must be."""
    return st.sampled_from(
        [
            f"10.0.{number}.7",
            f"10.0.{number}.7",
            f"fd00::{number + 1:x}",
            f"FD00:0:0:0:00{number + 1:02X}::B",
            f"::ffff:10.1.{number}.7",
        ]
    )


@st.composite
def _hosts(draw: st.DrawFn, ports: _Ports) -> list[_Host]:
    found = []
    for number, name in enumerate(draw(name_lists(1, 6))):
        address = draw(_addresses(number))
        admin = None
        if draw(st.integers(0, 4)) == 0:
            where = draw(st.sampled_from(["127.0.0.1", "::", address]))
            admin = {"host": where, "port": ports.fresh()}
        found.append(
            _Host(
                name=name,
                address=address,
                locality=draw(st.one_of(st.none(), _localities())),
                labels=draw(labels()),
                admin=admin,
            )
        )
    return found


@st.composite
def _inside(draw: st.DrawFn, host: _Host, ports: _Ports) -> Data:
    """One instance of a service on a machine."""
    ingress = {"host": host.address, "port": ports.fresh()}
    where = draw(st.sampled_from(["127.0.0.1", "127.0.0.1", "::1", "0.0.0.0", "::", host.address]))
    shares_number = where in ("127.0.0.1", "::1") and draw(st.booleans())
    substance = {"port": ingress["port"] if shares_number else ports.fresh(), "host": where}
    entry: Data = {"name": host.name, "ingressAddr": ingress, "substanceAddr": substance}
    if draw(st.booleans()):
        choices = ["127.0.0.1", "127.0.0.2", "::1", "0.0.0.0", "::", host.address]
        entry["egressHost"] = draw(st.sampled_from(choices))
    has_labels: bool = draw(st.booleans())
    if host.labels and has_labels:
        entry["labels"] = dict(host.labels)
    if host.locality is not None and draw(st.booleans()):
        entry["locality"] = dict(host.locality)
    if host.admin is not None and draw(st.booleans()):
        entry["adminAddr"] = dict(host.admin)
    if draw(st.booleans()):
        entry["weight"] = draw(st.sampled_from([1, 2, 100, 128]))
    return entry


def _some_drained(hosts: list[Data]) -> st.SearchStrategy[list[Data]]:
    """The hosts of a service, perhaps with one that gets nothing, but never all of them."""
    drained = [*hosts[:-1], *({**host, "weight": 0} for host in hosts[-1:])]
    return st.sampled_from([hosts, drained] if len(hosts) > 1 else [hosts])


@st.composite
def _outside(draw: st.DrawFn, number: int, *, has_names: bool) -> list[Data]:
    """Hosts of a service outside the mesh."""
    found = []
    for index, name in enumerate(draw(name_lists(1, 3))):
        host = f"192.0.{number}.{index}" if index % 2 else f"2001:db8::{number}:{index}"
        if has_names:
            host = draw(st.sampled_from([f"api{index}.example.com", "Old-Box.Example.", host]))
        address = {"host": host, "port": draw(st.integers(1, 65_535))}
        entry: Data = {"name": name, "externalAddr": address}
        extra = {"labels": labels(), "locality": _localities(), "weight": st.integers(1, 128)}
        found.append(entry | draw(subsets(extra)))
    return found


@st.composite
def _settings(draw: st.DrawFn, ports: _Ports, *, has_bytes: bool) -> Data:
    """A mesh.yaml: everything in it is optional."""
    directory = st.sampled_from(
        ["/var/lib/meshc/envoy", "/", ".", "..", "./a b", "relative/folder", "/tmp/é{{ x }}"]
    )
    collector: dict[str, st.SearchStrategy[Any]] = {
        "host": st.sampled_from(["10.9.9.9", "fd00::9", "zipkin.example.com"])
    }
    tracing = st.one_of(
        st.builds(
            lambda where, rest: {"zipkin": where} | rest,
            st.one_of(
                st.fixed_dictionaries(collector),
                st.fixed_dictionaries(
                    collector
                    | {"port": st.integers(1, 65_535), "path": st.sampled_from(["/", "/a?b=c#d"])}
                ),
            ),
            subsets({"sampling": st.one_of(st.integers(0, 100), st.floats(0, 100))}),
        ),
        st.builds(lambda where: {"openTelemetry": where}, st.fixed_dictionaries(collector)),
    )
    admin_port = ports.fresh()
    return draw(
        subsets(
            {
                "$schema": st.just("x"),
                "name": names(),
                "labels": labels(),
                "admin": st.builds(
                    lambda host: {"host": host, "port": admin_port},
                    st.sampled_from(["ingress", "127.0.0.1", "0.0.0.0", "::1"]),
                ),
                "accessLog": subsets({"enabled": st.booleans(), "directory": directory}),
                "connectTimeout": durations(1),
                "drainTime": durations(1_000),
                "tracing": tracing,
                "xdsDirectory": directory,
                "routes": st.sampled_from(["file", "inline"]),
                "endpoints": st.sampled_from(["file", "inline"]),
                "limits": st.just({"fileSubscriptions": 1_000}),
                "defaults": policies("HTTP", hashes_requests=not has_bytes),
            }
        )
    )


@st.composite
def _file_name(draw: st.DrawFn, name: str) -> tuple[str, bool]:
    """Where a service's document lies, and whether it must say its name itself."""
    folder = draw(st.sampled_from(["", "", "team", "team/b", "x y"]))
    ending = draw(st.sampled_from([".yaml", ".yaml", ".yml", ".json"]))
    says_name = draw(st.booleans()) or (folder == "" and name == "mesh")
    stem = draw(st.sampled_from([f"{name}.v1", f"of {name}", f"{name}x"])) if says_name else name
    return f"{folder}/{stem}{ending}".removeprefix("/"), says_name


@st.composite
def meshes(
    draw: st.DrawFn,
    *,
    protocols: tuple[str, ...] = PROTOCOLS,
    smallest: int = 1,
    largest: int = 8,
    has_names: bool = True,
    has_consul: bool = False,
    settings: st.SearchStrategy[bool] = st.booleans(),  # noqa: B008, a strategy is a constant
) -> Documents:
    """A mesh without mistakes: documents by file name, in no particular order."""
    ports = _Ports(draw)
    machines = draw(_hosts(ports))
    services = draw(name_lists(smallest, largest))
    kinds = {name: draw(st.sampled_from(protocols)) for name in services}
    documents: Documents = {}
    for number, name in enumerate(services):
        document: Data = {"protocol": kinds[name]}
        is_outside = draw(st.integers(0, 5)) == 0
        if is_outside:
            document["hosts"] = draw(_outside(number, has_names=has_names))
        else:
            chosen = draw(st.lists(st.sampled_from(machines), unique_by=lambda m: m.name))
            document["hosts"] = draw(_some_drained([draw(_inside(one, ports)) for one in chosen]))
            others = [other for other in services if other != name]
            called = (
                draw(st.lists(st.sampled_from(others), unique=True, max_size=4)) if others else []
            )
            document["dependentServices"] = [
                {"name": other, "egressPort": ports.fresh()}
                | ({"protocol": kinds[other]} if draw(st.booleans()) else {})
                | draw(policies(kinds[other]))
                for other in called
            ]
        document |= draw(policies(kinds[name]))
        if not is_outside:
            document |= draw(inbound(kinds[name]))
        if draw(st.booleans()):
            document["labels"] = draw(labels())
        file, says_name = draw(_file_name(name))
        if says_name:
            document["name"] = name
        for key in ("hosts", "dependentServices"):
            if not document.get(key, True) and draw(st.booleans()):
                del document[key]
        documents[file] = document
    if draw(settings):
        documents[draw(st.sampled_from(["mesh.yaml", "mesh.yml", "mesh.json"]))] = draw(
            _settings(ports, has_bytes="TCP" in kinds.values())
        )
    if has_consul and not any(data.get("endpoints") == "inline" for data in documents.values()):
        draw(_consul(documents, ports))
    return _without_empty_settings(documents)


@st.composite
def _consul(draw: st.DrawFn, documents: Documents, ports: _Ports) -> None:
    """Let Consul say for some dependencies which hosts are used, and for some which there are."""
    health = subsets({"panicThreshold": st.integers(0, 100)}).map(
        lambda one: {"from": "consul"} | one
    )
    services = services_of(documents)
    outside = {
        name
        for name, file in services.items()
        if any("externalAddr" in host for host in documents[file].get("hosts", []))
    }
    taken = {name.lower() for name in services}
    known = {
        name: draw(st.sampled_from(PROTOCOLS))
        for name in draw(name_lists(0, 2))
        if name.lower() not in taken
    }
    for name, file in services.items():
        if name in outside:
            continue
        called = documents[file].setdefault("dependentServices", [])
        for dependency in called:
            if dependency["name"] not in outside and draw(st.booleans()):
                dependency["health"] = draw(health)
        for other, protocol in known.items():
            if draw(st.booleans()):
                extra = {"health": health, "tags": st.lists(token(), max_size=3)}
                called.append(
                    {"name": other, "egressPort": ports.fresh(), "from": "consul"}
                    | {"protocol": protocol}
                    | draw(subsets(extra))
                    | draw(policies(protocol))
                )


def _without_empty_settings(documents: Documents) -> Documents:
    return {name: data for name, data in documents.items() if data}


def name_of(file: str, document: Data) -> str:
    """The name of the service that a document describes."""
    stem = file.rpartition("/")[2].rpartition(".")[0]
    return str(document.get("name", stem))


def is_settings(file: str) -> bool:
    return file in ("mesh.yaml", "mesh.yml", "mesh.json")


def services_of(documents: Documents) -> dict[str, str]:
    """File name of each service."""
    return {name_of(file, data): file for file, data in documents.items() if not is_settings(file)}


def copied(documents: Documents) -> Documents:
    return copy.deepcopy(documents)


@st.composite
def shuffled(draw: st.DrawFn, data: Any, path: str = "") -> Any:
    """The same data with keys in another order, and lists whose order means nothing as well."""
    if isinstance(data, dict):
        keys = draw(st.permutations(sorted(data)))
        return {key: draw(shuffled(data[key], key)) for key in keys}
    if isinstance(data, list):
        items = [draw(shuffled(item)) for item in data]
        return draw(st.permutations(items)) if path in ("hosts", "dependentServices") else items
    return data
