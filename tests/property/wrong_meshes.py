"""Single mistakes between the documents of a mesh: references, and addresses that clash."""

from __future__ import annotations

import copy
from collections import Counter

from tests.property.corruptions import (
    FREE_PORT,
    Corruption,
    Expected,
    Pick,
    corrupts,
    need,
)
from tests.property.meshes import (
    is_settings,
    name_of,
    services_of,
)

REFERENCES: list[Corruption] = []
ADDRESSES: list[Corruption] = []


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
