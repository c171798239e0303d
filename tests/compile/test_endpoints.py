"""Endpoints of a service, as all its callers get them."""

from __future__ import annotations

import json
from typing import Any

from tests.case import CASES


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
