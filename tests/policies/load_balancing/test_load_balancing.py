from __future__ import annotations

import pytest

from tests.slices import compiled


@pytest.mark.parametrize(
    ("said", "policy", "extra"),
    [
        ("{}", "ROUND_ROBIN", {}),
        ("{policy: roundRobin}", "ROUND_ROBIN", {}),
        ("{policy: random}", "RANDOM", {}),
        ("{policy: leastRequest}", "LEAST_REQUEST", {}),
        (
            "{policy: leastRequest, choiceCount: 5}",
            "LEAST_REQUEST",
            {"least_request_lb_config": {"choice_count": 5}},
        ),
        (
            "{policy: ringHash, minimumRingSize: 64, hashOn: {header: x-u}}",
            "RING_HASH",
            {"ring_hash_lb_config": {"minimum_ring_size": 64}},
        ),
        (
            "{policy: maglev, tableSize: 251, hashOn: {header: x-u}}",
            "MAGLEV",
            {"maglev_lb_config": {"table_size": 251}},
        ),
    ],
)
def test_each_policy_is_envoys(said: str, policy: str, extra: dict[str, object]) -> None:
    cluster = compiled(f"loadBalancing: {said}").cluster()

    assert cluster["lb_policy"] == policy
    assert {key: value for key, value in cluster.items() if key.endswith("_lb_config")} == extra


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("{header: x-user}", [{"header": {"header_name": "x-user"}}]),
        ("{cookie: sid}", [{"cookie": {"name": "sid"}}]),
        ("{sourceIp: true}", [{"connection_properties": {"source_ip": True}}]),
    ],
)
def test_requests_are_hashed_on_what_the_spec_says(said: str, expected: object) -> None:
    result = compiled(f"loadBalancing: {{policy: maglev, hashOn: {said}}}")

    assert result.route()["hash_policy"] == expected


def test_connections_are_hashed_on_the_caller() -> None:
    result = compiled("loadBalancing: {policy: ringHash}", protocol="TCP")

    assert result.network_filter()["hash_policy"] == [{"source_ip": {}}]


def test_nothing_is_hashed_without_a_hashing_policy() -> None:
    assert "hash_policy" not in compiled("loadBalancing: {hashOn: {header: x}}").route()


def test_hashing_needs_something_to_hash() -> None:
    assert compiled("loadBalancing: {policy: maglev}").findings == [
        ("MC502", "api.yaml:6:25", "maglev needs hashOn, or all requests go to one host")
    ]


def test_a_mesh_wide_hashing_policy_is_reported_in_the_mesh_settings() -> None:
    result = compiled(mesh="defaults:\n  loadBalancing: {policy: ringHash}\n")

    assert result.findings == [
        ("MC502", "mesh.yaml:2:27", "ringHash needs hashOn, or all requests go to one host")
    ]


def test_connections_have_no_headers_to_hash() -> None:
    result = compiled("loadBalancing: {policy: maglev, hashOn: {header: x}}", protocol="TCP")

    assert result.findings == [
        (
            "MC502",
            "api.yaml:6:41",
            "connections have no headers and cookies to be hashed on",
        )
    ]


@pytest.mark.parametrize("said", ["{}", "{header: a, cookie: b}"])
def test_exactly_one_thing_is_hashed(said: str) -> None:
    (finding,) = compiled(f"loadBalancing: {{policy: maglev, hashOn: {said}}}").findings
    assert finding == (
        "MC502",
        "api.yaml:6:41",
        "hashOn needs exactly one of header, cookie and sourceIp",
    )
