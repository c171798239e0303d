"""Single mistakes in a mesh that has none, each with the finding that it must give.

A corruption changes the documents in place and returns what must be found; the place is a path
in a document, which the test turns into line and column by the text that it wrote itself.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from tests.property.meshes import (
    REQUEST_PROTOCOLS,
    Data,
    Documents,
    is_settings,
    name_of,
    services_of,
)

if TYPE_CHECKING:
    from tests.property.writing import Path

FREE_PORT = 61_234
"""A port that no generated mesh uses."""


@dataclass(frozen=True)
class Expected:
    """One finding: its code, and the key or value that it points at."""

    code: str
    file: str
    path: Path
    is_key: bool = False


class NotApplicableError(Exception):
    """This mesh has nothing that could be wrong in this way."""


def need(condition: object) -> None:
    if not condition:
        raise NotApplicableError


class Pick:
    """Chooses the part of a mesh that becomes wrong."""

    def __init__(self, data: st.DataObject, documents: Documents) -> None:
        self.data = data
        self.documents = documents

    def one(self, choices: list[Any]) -> Any:
        need(choices)
        return self.data.draw(st.sampled_from(choices))

    def hosts(self, *, inside: bool = True) -> list[tuple[str, int]]:
        key = "ingressAddr" if inside else "externalAddr"
        return [
            (file, index)
            for file, document in sorted(self.documents.items())
            for index, host in enumerate(document.get("hosts", []))
            if key in host
        ]

    def host(self) -> tuple[str, int, Data]:
        file, index = self.one(self.hosts())
        return file, index, self.documents[file]["hosts"][index]

    def dependency(self) -> tuple[str, int, Data]:
        """A dependency; one is added where the mesh has none."""
        found = [
            (file, index)
            for file, document in sorted(self.documents.items())
            for index, _ in enumerate(document.get("dependentServices", []))
        ]
        if not found:
            file, document = self.caller()
            called = document["dependentServices"] = [
                {"name": self.one(self.callable_from(file)), "egressPort": FREE_PORT + 1}
            ]
            return file, 0, called[0]
        file, index = self.one(found)
        return file, index, self.documents[file]["dependentServices"][index]

    def callable_from(self, caller: str) -> list[str]:
        """Services with hosts, so that calling them gives no warning."""
        files = {file for file, _ in self.hosts() + self.hosts(inside=False)} - {caller}
        return sorted(name_of(file, self.documents[file]) for file in files)

    def caller(self) -> tuple[str, Data]:
        """A service that may have dependencies."""
        files = [
            file
            for file, document in sorted(self.documents.items())
            if not is_settings(file)
            and not any("externalAddr" in host for host in document.get("hosts", []))
        ]
        file = self.one(files)
        return file, self.documents[file]

    def service(self) -> tuple[str, Data]:
        file = self.one([file for file in sorted(self.documents) if not is_settings(file)])
        return file, self.documents[file]

    def entries(self, node: str) -> list[tuple[str, str, int]]:
        """Entries of a host as (service, file, index), in the order of services."""
        return sorted(
            (name_of(file, self.documents[file]), file, index)
            for file, index in self.hosts()
            if self.documents[file]["hosts"][index]["name"] == node
        )

    def places(self, *keys: str) -> list[tuple[str, Path]]:
        """Every value with one of these keys, labels aside."""
        return [
            (file, path)
            for file, document in sorted(self.documents.items())
            for path, _ in walk(document)
            if path and path[-1] in keys
        ]

    def value(self, *keys: str) -> tuple[str, Path, Any]:
        """One value with one of these keys, of the file that has it and of its parent."""
        file, path = self.one(self.places(*keys))
        parent = self.documents[file]
        for part in path[:-1]:
            parent = parent[part]
        return file, path, parent


def walk(data: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """All places of a document that its schema names."""
    yield path, data
    if isinstance(data, dict):
        for key, value in data.items():
            if key != "labels":
                yield from walk(value, (*path, key))
            else:
                yield (*path, key), value
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from walk(value, (*path, index))


Corruption = Callable[[Pick], list[Expected]]
REFERENCES: list[Corruption] = []
ADDRESSES: list[Corruption] = []
DOCUMENTS: list[Corruption] = []
POLICIES: list[Corruption] = []


def corrupts(group: list[Corruption]) -> Callable[[Corruption], Corruption]:
    def note(function: Corruption) -> Corruption:
        group.append(function)
        return function

    return note


# Documents that do not fit each other.


@corrupts(REFERENCES)
def a_dependency_has_an_unknown_name(pick: Pick) -> list[Expected]:
    file, index, dependency = pick.dependency()
    dependency["name"] = pick.one(["no-such-service", f"{dependency['name'][:60]}-old"])
    dependency.pop("protocol", None)
    need(dependency["name"] not in services_of(pick.documents))
    return [Expected("MC306", file, ("dependentServices", index, "name"))]


@corrupts(REFERENCES)
def a_service_depends_on_itself(pick: Pick) -> list[Expected]:
    file, document = pick.caller()
    called = document.setdefault("dependentServices", [])
    called.append({"name": name_of(file, document), "egressPort": FREE_PORT})
    return [Expected("MC307", file, ("dependentServices", len(called) - 1, "name"))]


@corrupts(REFERENCES)
def a_dependency_is_listed_twice(pick: Pick) -> list[Expected]:
    file, index, dependency = pick.dependency()
    called = pick.documents[file]["dependentServices"]
    called.append(copy.deepcopy(called[index]) | {"egressPort": FREE_PORT})
    assert dependency["name"] == called[-1]["name"]
    return [Expected("MC305", file, ("dependentServices", len(called) - 1, "name"))]


@corrupts(REFERENCES)
def a_host_is_listed_twice(pick: Pick) -> list[Expected]:
    file, index = pick.one(pick.hosts() + pick.hosts(inside=False))
    hosts = pick.documents[file]["hosts"]
    hosts.append(copy.deepcopy(hosts[index]))
    return [Expected("MC304", file, ("hosts", len(hosts) - 1, "name"))]


@corrupts(REFERENCES)
def a_service_is_described_twice(pick: Pick) -> list[Expected]:
    file, document = pick.service()
    pick.documents["copy.yaml"] = {"name": name_of(file, document)} | copy.deepcopy(document)
    second = max(file, "copy.yaml")
    is_named = "name" in pick.documents[second]
    return [Expected("MC301", second, ("name",) if is_named else (), is_key=is_named)]


@corrupts(REFERENCES)
def services_differ_only_in_case(pick: Pick) -> list[Expected]:
    file, document = pick.service()
    name = name_of(file, document)
    need(name.swapcase() != name)
    pick.documents["copy.yaml"] = copy.deepcopy(document) | {"name": name.swapcase()}
    second = file if name > name.swapcase() else "copy.yaml"
    is_named = "name" in pick.documents[second]
    return [Expected("MC302", second, ("name",) if is_named else (), is_key=is_named)]


@corrupts(REFERENCES)
def hosts_differ_only_in_case(pick: Pick) -> list[Expected]:
    file, index, host = pick.host()
    other = host["name"].swapcase()
    need(other != host["name"] and not pick.entries(other))
    pick.documents["copy.yaml"] = {
        "protocol": "TCP",
        "hosts": [
            {
                "name": other,
                "ingressAddr": {"host": "10.250.0.1", "port": FREE_PORT},
                "substanceAddr": {"host": "127.0.0.1", "port": FREE_PORT + 2},
            }
        ],
    }
    need("copy" not in (name.lower() for name in _other_services(pick)))
    if other > host["name"]:
        return [Expected("MC302", "copy.yaml", ("hosts", 0, "name"))]
    _, file, index = pick.entries(host["name"])[0]
    return [Expected("MC302", file, ("hosts", index, "name"))]


def _other_services(pick: Pick) -> list[str]:
    return [name for name, file in services_of(pick.documents).items() if file != "copy.yaml"]


@corrupts(REFERENCES)
def the_mesh_is_described_twice(pick: Pick) -> list[Expected]:
    first = [file for file in pick.documents if is_settings(file)]
    need(first)
    second = pick.one([f for f in ("mesh.json", "mesh.yaml", "mesh.yml") if f != first[0]])
    pick.documents[second] = copy.deepcopy(pick.documents[first[0]])
    return [Expected("MC303", max(first[0], second), ())]


@corrupts(REFERENCES)
def a_caller_speaks_another_protocol(pick: Pick) -> list[Expected]:
    file, index, dependency = pick.dependency()
    target = pick.documents[services_of(pick.documents)[dependency["name"]]]
    others = {"HTTP", "HTTP2", "GRPC", "TCP"} - {target["protocol"]}
    dependency["protocol"] = pick.one(sorted(others))
    return [Expected("MC308", file, ("dependentServices", index, "protocol"))]


@corrupts(REFERENCES)
def one_host_stands_in_two_places(pick: Pick) -> list[Expected]:
    nodes = Counter(pick.documents[file]["hosts"][index]["name"] for file, index in pick.hosts())
    node = pick.one(sorted(node for node, count in nodes.items() if count > 1))
    entries = pick.entries(node)
    for _, file, index in entries:
        pick.documents[file]["hosts"][index].pop("locality", None)
    for region, (_, file, index) in zip(("east", "west"), (entries[0], entries[-1]), strict=True):
        pick.documents[file]["hosts"][index]["locality"] = {"region": region}
    _, file, index = entries[-1]
    return [Expected("MC310", file, ("hosts", index, "locality"))]


@corrupts(REFERENCES)
def one_host_has_two_admin_addresses(pick: Pick) -> list[Expected]:
    nodes = Counter(pick.documents[file]["hosts"][index]["name"] for file, index in pick.hosts())
    node = pick.one(sorted(node for node, count in nodes.items() if count > 1))
    entries = pick.entries(node)
    for number, (_, file, index) in enumerate(entries):
        port = FREE_PORT if number == 0 else FREE_PORT + 1
        pick.documents[file]["hosts"][index]["adminAddr"] = {"host": "127.0.0.1", "port": port}
    return [
        Expected("MC310", file, ("hosts", index, "adminAddr")) for _, file, index in entries[1:]
    ]


@corrupts(REFERENCES)
def a_service_is_inside_and_outside(pick: Pick) -> list[Expected]:
    file, _, _ = pick.host()
    document = pick.documents[file]
    document.pop("dependentServices", None)
    address = {"host": "old.example.com", "port": 80}
    document["hosts"].append({"name": "n" * 63, "externalAddr": address})
    return [Expected("MC311", file, ("hosts", len(document["hosts"]) - 1, "externalAddr"))]


@corrupts(REFERENCES)
def an_external_service_has_dependencies(pick: Pick) -> list[Expected]:
    file, _ = pick.one(pick.hosts(inside=False))
    pick.documents[file]["dependentServices"] = [
        {"egressPort": FREE_PORT, "name": pick.one(pick.callable_from(file))}
    ]
    return [Expected("MC315", file, ("dependentServices",), is_key=True)]


# Addresses.


@corrupts(ADDRESSES)
def the_application_has_the_ingress_address(pick: Pick) -> list[Expected]:
    file, index, host = pick.host()
    host["substanceAddr"] = dict(host["ingressAddr"])
    return [Expected("MC312", file, ("hosts", index, "substanceAddr"))]


@corrupts(ADDRESSES)
def the_application_covers_the_ingress_address(pick: Pick) -> list[Expected]:
    file, index, host = pick.host()
    is_ipv4 = host["ingressAddr"]["host"].startswith("10.")
    wildcard = pick.one(["::", "0.0.0.0"] if is_ipv4 else ["::"])
    host["substanceAddr"] = {"host": wildcard, "port": host["ingressAddr"]["port"]}
    return [Expected("MC313", file, ("hosts", index, "substanceAddr"))]


@corrupts(ADDRESSES)
def the_admin_page_has_the_applications_address(pick: Pick) -> list[Expected]:
    file, index, host = pick.host()
    need(len(pick.entries(host["name"])) == 1)
    host["adminAddr"] = dict(host["substanceAddr"])
    return [Expected("MC313", file, ("hosts", index, "substanceAddr"))]


@corrupts(ADDRESSES)
def own_calls_have_the_ingress_address(pick: Pick) -> list[Expected]:
    file, index, dependency = pick.dependency()
    hosts = pick.documents[file].get("hosts", [])
    need(hosts)
    del hosts[1:]
    hosts[0]["egressHost"] = hosts[0]["ingressAddr"]["host"]
    dependency["egressPort"] = hosts[0]["ingressAddr"]["port"]
    return [Expected("MC313", file, ("dependentServices", index, "egressPort"))]


@corrupts(ADDRESSES)
def two_dependencies_have_one_port(pick: Pick) -> list[Expected]:
    file, _, dependency = pick.dependency()
    document = pick.documents[file]
    need(document.get("hosts"))
    del document["hosts"][1:]
    called = document["dependentServices"]
    if len(called) == 1:
        rest = [name for name in pick.callable_from(file) if name != dependency["name"]]
        called.append({"name": pick.one(rest), "egressPort": FREE_PORT})
    first, second = sorted(called, key=lambda other: str(other["name"]))[:2]
    need(dependency in (first, second))
    second["egressPort"] = first["egressPort"]
    return [Expected("MC313", file, ("dependentServices", called.index(second), "egressPort"))]


@corrupts(ADDRESSES)
def an_ingress_address_means_every_address(pick: Pick) -> list[Expected]:
    file, index, host = pick.host()
    need(host["ingressAddr"]["port"] != host["substanceAddr"]["port"])
    host["ingressAddr"]["host"] = pick.one(["0.0.0.0", "::", "0:0::0"])
    return [Expected("MC318", file, ("hosts", index, "ingressAddr", "host"))]


@corrupts(ADDRESSES)
def two_hosts_have_one_ingress_address(pick: Pick) -> list[Expected]:
    _, _, host = pick.host()
    other_file, other_index, other = pick.host()
    need(host["name"] < other["name"])
    other["ingressAddr"] = dict(host["ingressAddr"])
    return [Expected("MC319", other_file, ("hosts", other_index, "ingressAddr"))]


# One document.


@corrupts(DOCUMENTS)
def a_key_is_unknown(pick: Pick) -> list[Expected]:
    places = [
        (file, path)
        for file, document in sorted(pick.documents.items())
        for path, value in walk(document)
        if isinstance(value, dict) and path[-1:] != ("labels",)
    ]
    file, path = pick.one(places)
    target: Any = pick.documents[file]
    for part in path:
        target = target[part]
    key = pick.one(["comment", "ingress_addr", "Protocol", "ports", "a b", "über", "1", "true"])
    target[key] = pick.one([1, "x", None, {}, [[]]])
    return [Expected("MC201", file, (*path, key), is_key=True)]


@corrupts(DOCUMENTS)
def a_key_is_missing(pick: Pick) -> list[Expected]:
    file, path, parent = pick.value("protocol", "name", "egressPort", "host", "port", "region")
    is_required = path == ("protocol",) or (len(path) > 1 and path[-1] != "protocol")
    has_default = is_settings(file) and (path[-1] == "port" or path == ("admin", "host"))
    need(is_required and not has_default)
    del parent[path[-1]]
    at = path[:-1]
    return [Expected("MC202", file, at, is_key=bool(at) and isinstance(at[-1], str))]


@corrupts(DOCUMENTS)
def a_host_has_no_address(pick: Pick) -> list[Expected]:
    file, index, host = pick.host()
    del host[pick.one(["ingressAddr", "substanceAddr"])]
    return [Expected("MC202", file, ("hosts", index))]


WRONG_TYPES: dict[str, list[object]] = {
    "port": ["80", 80.5, None, True, [80], {}],
    "egressPort": ["80", None],
    "weight": ["1", False],
    "attempts": ["2", 1.5],
    "maxConnections": ["2"],
    "hosts": [None, {}, "box", 5],
    "dependentServices": [None, {"name": "x"}, "app"],
    "statusCodes": [503, "503"],
    "on": ["5xx"],
    "ingressAddr": ["10.0.0.1:80", 5, []],
    "externalAddr": ["example.com", False],
    "labels": [[], "a=b", None, 1],
    "timeouts": ["5s", []],
    "defaults": [None, []],
    "host": [10, 1.5, [], {}],
    "region": [1, True, [], {}],
    "enabled": ["yes", 1, None],
    "sampling": ["50", True, []],
    "fileSubscriptions": ["100", 1.5],
}


@corrupts(DOCUMENTS)
def a_value_has_the_wrong_type(pick: Pick) -> list[Expected]:
    file, path, parent = pick.value(*WRONG_TYPES)
    parent[path[-1]] = pick.one(WRONG_TYPES[str(path[-1])])
    return [Expected("MC203", file, path)]


OUT_OF_RANGE: dict[str, list[object]] = {
    "port": [0, 65_536, -1, 2**64 - 1],
    "egressPort": [0, 65_536],
    "weight": [0, 129],
    "protocol": ["HTPP", "http", 5, None, []],
    "attempts": [-1, 11],
    "maxConnections": [0, 4_294_967_296],
    "maxRetries": [-1],
    "statusCodes": [[]],
    "on": [[]],
    "policy": ["best", "", 5],
    "choiceCount": [1, 101],
    "tableSize": [252],
    "routes": ["files", None],
    "endpoints": ["", 1],
    "sampling": [-0.5, 101],
    "fileSubscriptions": [1],
    "xdsDirectory": ["", "x/"],
    "directory": ["", "/x/", "x" * 1_025],
}


@corrupts(DOCUMENTS)
def a_value_is_out_of_range(pick: Pick) -> list[Expected]:
    file, path, parent = pick.value(*OUT_OF_RANGE)
    value = pick.one(OUT_OF_RANGE[str(path[-1])])
    need(path[-1] != "protocol" or len(path) == 1 or value is not None)
    parent[path[-1]] = value
    return [Expected("MC204", file, path)]


@corrupts(DOCUMENTS)
def a_list_has_a_wrong_entry(pick: Pick) -> list[Expected]:
    file, path, parent = pick.value("on", "statusCodes")
    wrong: list[object] = ["5XX", "always"] if path[-1] == "on" else [199, 600]
    parent[path[-1]] = [pick.one(wrong)]
    return [Expected("MC204", file, (*path, 0))]


@corrupts(DOCUMENTS)
def a_name_breaks_the_rule(pick: Pick) -> list[Expected]:
    file, path, parent = pick.value("name", "region", "zone")
    need(len(path) > 1 or is_settings(file))
    parent[path[-1]] = pick.one(["", "a b", "a/b", "a.b", "a@b", "é", "x" * 65, "../x", "a\n"])
    return [Expected("MC205", file, path)]


@corrupts(DOCUMENTS)
def an_address_is_no_ip_address(pick: Pick) -> list[Expected]:
    file, path, parent = pick.value("host", "egressHost")
    need(path[-2] in ("ingressAddr", "substanceAddr", "adminAddr", "admin") or len(path) == 3)
    wrong = [
        "", "localhost", "127.1", "010.0.0.1", "0x7f.0.0.1", "10.0.0.256", "10.0.0.1.", "1",
        "[::1]", "fe80::1%eth0", "10.0.0.1/8", "10.0.0.1:80", " 10.0.0.1", "::ffff:1.2.3", "a\n",
    ]  # fmt: skip
    parent[path[-1]] = pick.one(wrong)
    return [Expected("MC206", file, path)]


@corrupts(DOCUMENTS)
def a_called_address_is_neither_ip_nor_name(pick: Pick) -> list[Expected]:
    file, path, parent = pick.value("host")
    need(path[-2] in ("externalAddr", "zipkin", "openTelemetry"))
    parent["host"] = pick.one(
        ["", "a b", "127.1", "0x7f.1", "0X7F", "-x.com", "x-.com", "a..b", "a/b", "é.com", "a" * 64]
    )
    return [Expected("MC206", file, path)]


DURATIONS = (
    "connect",
    "request",
    "idle",
    "perTryTimeout",
    "backoff",
    "connectTimeout",
    "drainTime",
)


@corrupts(DOCUMENTS)
def a_duration_is_none(pick: Pick) -> list[Expected]:
    file, path, parent = pick.value(*DURATIONS)
    parent[path[-1]] = pick.one(
        [
            5,
            1.5,
            True,
            [],
            {},
            "",
            "5",
            "5 s",
            "-1s",
            "1d",
            "25h",
            "0.5ms",
            "1.0001s",
            "\u0665s",
            "1e3s",
        ]
    )
    return [Expected("MC207", file, path)]


@corrupts(DOCUMENTS)
def a_duration_is_too_short(pick: Pick) -> list[Expected]:
    file, path, parent = pick.value(*DURATIONS)
    need(path[-1] not in ("request", "idle"))
    parent[path[-1]] = pick.one(["0s", "0ms", "0h"])
    return [Expected("MC204", file, path)]


@corrupts(DOCUMENTS)
def a_label_has_a_bad_name(pick: Pick) -> list[Expected]:
    file, path, parent = pick.value("labels")
    key = pick.one(["", "a b", "-a", "a-", "a" * 65, "é", "a\n"])
    parent["labels"][key] = "x"
    return [Expected("MC208", file, (*path, key), is_key=True)]


@corrupts(DOCUMENTS)
def a_label_has_too_long_a_value(pick: Pick) -> list[Expected]:
    file, path, parent = pick.value("labels")
    parent["labels"]["team/role"] = "x" * 257
    return [Expected("MC208", file, (*path, "team/role"), is_key=True)]


@corrupts(DOCUMENTS)
def a_label_is_no_text(pick: Pick) -> list[Expected]:
    file, path, parent = pick.value("labels")
    parent["labels"]["team/role"] = pick.one([1, True, None, [], {}])
    return [Expected("MC203", file, (*path, "team/role"))]


@corrupts(DOCUMENTS)
def an_external_host_has_an_inner_address(pick: Pick) -> list[Expected]:
    file, index = pick.one(pick.hosts(inside=False))
    host = pick.documents[file]["hosts"][index]
    key = pick.one(["ingressAddr", "substanceAddr", "adminAddr", "egressHost"])
    host[key] = "127.0.0.1" if key == "egressHost" else {"host": "10.0.0.1", "port": FREE_PORT}
    return [Expected("MC209", file, ("hosts", index))]


# Policies.


@corrupts(POLICIES)
def a_service_has_a_policy_that_its_protocol_cannot_have(pick: Pick) -> list[Expected]:
    files = [f for f, _ in pick.places("protocol") if pick.documents[f]["protocol"] == "TCP"]
    file = pick.one(files)
    return _policy_for_requests(pick, file, pick.documents[file], ())


@corrupts(POLICIES)
def a_caller_has_a_policy_that_the_protocol_cannot_have(pick: Pick) -> list[Expected]:
    file, index, dependency = pick.dependency()
    target = pick.documents[services_of(pick.documents)[dependency["name"]]]
    need(target["protocol"] not in REQUEST_PROTOCOLS)
    return _policy_for_requests(pick, file, dependency, ("dependentServices", index))


def _policy_for_requests(pick: Pick, file: str, target: Data, at: Path) -> list[Expected]:
    policy, field, value = pick.one(
        [
            ("retries", None, {"attempts": 1}),
            ("retries", None, {}),
            ("timeouts", "request", "5s"),
            ("circuitBreakers", "maxRequests", 5),
            ("circuitBreakers", "maxPendingRequests", 5),
            ("circuitBreakers", "maxRetries", 5),
        ]
    )
    if field is None:
        target[policy] = value
        return [Expected("MC501", file, (*at, policy), is_key=True)]
    target.setdefault(policy, {})[field] = value
    return [Expected("MC501", file, (*at, policy, field), is_key=True)]


@corrupts(POLICIES)
def hashing_has_nothing_to_hash(pick: Pick) -> list[Expected]:
    files = [
        file
        for file, _ in pick.places("protocol")
        if pick.documents[file]["protocol"] in REQUEST_PROTOCOLS
    ]
    file = pick.one(files)
    need(not any("hashOn" in str(data.get("defaults")) for data in pick.documents.values()))
    need(not any("hashOn" in str(d.get("dependentServices")) for d in pick.documents.values()))
    pick.documents[file]["loadBalancing"] = {"policy": pick.one(["maglev", "ringHash"])}
    callers = [
        other
        for data in pick.documents.values()
        for other in data.get("dependentServices", [])
        if other["name"] == name_of(file, pick.documents[file])
    ]
    need(not any("loadBalancing" in other for other in callers))
    return [Expected("MC502", file, ("loadBalancing", "policy"))]


@corrupts(POLICIES)
def two_things_are_hashed(pick: Pick) -> list[Expected]:
    file, document = pick.service()
    what = pick.one([{}, {"header": "a", "cookie": "b"}])
    document["loadBalancing"] = {"hashOn": what}
    return [Expected("MC502", file, ("loadBalancing", "hashOn"))]
