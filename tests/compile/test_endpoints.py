"""Endpoints of a service, as all its callers get them."""

from __future__ import annotations

import json
from typing import Any

from tests.case import CASES
from tests.slices import compiled


def groups(case: str, service: str) -> list[dict[str, Any]]:
    text = (CASES / case / "out" / "services" / service / "eds.json").read_text()
    (assignment,) = json.loads(text)["resources"]
    found: list[dict[str, Any]] = assignment["endpoints"]
    return found


def hosts(group: dict[str, Any]) -> list[str]:
    return [host["endpoint"]["hostname"] for host in group["lb_endpoints"]]


def test_hosts_are_grouped_by_locality_in_the_order_of_names() -> None:
    found = groups("labels-locality-weight", "app")

    assert [(group.get("locality"), hosts(group)) for group in found] == [
        (None, ["a4"]),
        ({"region": "east"}, ["a3"]),
        ({"region": "west", "zone": "west-1"}, ["a1", "a2"]),
    ]


def test_weights_are_those_of_the_specs() -> None:
    weights = {
        host["endpoint"]["hostname"]: host.get("load_balancing_weight")
        for group in groups("labels-locality-weight", "app")
        for host in group["lb_endpoints"]
    }

    assert weights == {"a1": None, "a2": 3, "a3": 128, "a4": None}


def test_the_locality_of_a_host_holds_for_all_services_on_it() -> None:
    found = groups("several-services-on-one-host", "api")

    assert {host: group.get("locality") for group in found for host in hosts(group)} == {
        "box": {"region": "east"},
        "spare": None,
    }


_TWO = """hosts:
- {name: a1, ingressAddr: {host: 10.0.0.1, port: 80}, substanceAddr: {host: 127.0.0.1, port: 9}}
- {name: a2, ingressAddr: {host: 10.0.0.2, port: 80}, substanceAddr: {host: 127.0.0.1, port: 9},
   weight: 0}
"""


def test_a_host_of_weight_0_gets_nothing_new_and_keeps_what_it_runs() -> None:
    result = compiled(called=_TWO)

    (assignment,) = result.files["services/api/eds.json"]["resources"]
    assert [hosts(group) for group in assignment["endpoints"]] == [["a1"]]
    assert result.listener("inbound/api", "a2")
    assert result.files["services/api/instances.json"]["instances"][1]["weight"] == 0
    assert result.findings == []


def test_a_service_whose_hosts_all_have_weight_0_is_reported() -> None:
    result = compiled(called=_TWO.replace("port: 9}}", "port: 9}, weight: 0}"))

    assert result.findings == [
        (
            "MC309",
            "web.yaml:7:9",
            ('dependency "api" has no hosts with another weight than 0, so calls to it will fail'),
        )
    ]
