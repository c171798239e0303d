"""Single mistakes within one document, and policies that cannot be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.property.corruptions import (
    FREE_PORT,
    Corruption,
    Expected,
    Pick,
    corrupts,
    need,
    walk,
)
from tests.property.meshes import (
    is_settings,
    name_of,
    services_of,
)
from tests.property.values import REQUEST_PROTOCOLS, Data

if TYPE_CHECKING:
    from tests.property.writing import Path

DOCUMENTS: list[Corruption] = []
POLICIES: list[Corruption] = []


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
    "weight": [-1, 129],
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
    places = ("ingressAddr", "substanceAddr", "adminAddr", "admin")  # others take names as well
    need(path[-2] in places or path[-1] == "egressHost")
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
            ("retries", "perTryTimeout", "5ms"),
            ("retries", "on", ["5xx"]),
            ("retries", "budget", 5),
            ("timeouts", "request", "5s"),
            ("circuitBreakers", "maxRequests", 5),
            ("circuitBreakers", "maxRetries", 5),
            ("outlierDetection", "statusCodes", [500]),
            ("timeouts", "webSocket", "5s"),
        ]
    )
    target.setdefault(policy, {})[field] = value
    return [Expected("MC501", file, (*at, policy, field), is_key=True)]


@corrupts(POLICIES)
def a_caller_says_how_called_hosts_work(pick: Pick) -> list[Expected]:
    file, index, dependency = pick.dependency()
    dependency["inbound"] = {"maxConnections": 5}
    return [Expected("MC503", file, ("dependentServices", index, "inbound"), is_key=True)]


@corrupts(POLICIES)
def a_host_is_left_alone_longer_than_at_most(pick: Pick) -> list[Expected]:
    file, document = pick.service()
    need("outlierDetection" not in str(pick.documents))
    document["outlierDetection"] = {"ejectionTime": "3m", "maxEjectionTime": "179s"}
    return [Expected("MC504", file, ("outlierDetection", "ejectionTime"))]


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
