"""What is believed of Consul's answer about a service, and what is not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshc.delivery.agent.health.assignment import Address
from meshc.delivery.agent.health.instances import Limits, read_instances, why_unusable
from tests.delivery.health.entries import Entry, entry

if TYPE_CHECKING:
    from tests.consul.server import ConsulServer

ADMIN = Address("10.0.0.9", 9901)


def read(one: Entry) -> Any:
    (found,) = read_instances([one])
    return found


@pytest.mark.consul
def test_an_instance_of_a_real_consul_is_read(consul_dev: ConsulServer) -> None:
    registration = {
        "Node": "read-1",
        "Address": "10.1.1.1",
        "Service": {
            "ID": "read-app",
            "Service": "read-app",
            "Port": 8080,
            "Tags": ["b", "a"],
            "Meta": {"managed-by": "meshc", "mesh": "shop", "node": "app1"},
            "Weights": {"Passing": 7, "Warning": 1},
        },
        "Checks": [
            {"Node": "read-1", "CheckID": "c", "ServiceID": "read-app", "Status": "warning"}
        ],
    }
    with consul_dev.client() as client:
        client.catalog_register(registration)

        (found,) = read_instances(client.health_service("read-app").value)

    assert found.id == "read-app"
    assert found.address == Address("10.1.1.1", 8080)
    assert (found.is_passing, found.weight) == (False, 7)
    assert found.tags == {"a", "b"}
    assert (found.host, found.mesh, found.node) == ("read-1", "shop", "app1")


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([], True),
        (["passing", "passing"], True),
        (["passing", "warning"], False),
        (["passing", "critical"], False),
        (["maintenance"], False),
        ([None], False),
    ],
)
def test_only_what_passes_every_check_passes(statuses: list[Any], *, expected: bool) -> None:
    one = {**entry("10.0.0.1"), "Checks": [{"Status": status} for status in statuses]}

    assert read(one).is_passing is expected


def test_an_instance_without_an_address_is_at_that_of_its_node() -> None:
    assert read(entry("", node_address="10.0.0.5")).address == Address("10.0.0.5", 80)


def test_an_address_is_read_in_its_shortest_form() -> None:
    assert read(entry("FD00:0::01")).address == Address("fd00::1", 80)
    assert read(entry("::ffff:10.0.0.1")).address == Address("10.0.0.1", 80)


@pytest.mark.parametrize(
    ("address", "port"),
    [
        ("db.internal", 80),
        ("localhost", 80),
        ("10.1", 80),
        ("0x7f.1", 80),
        ("010.0.0.1", 80),
        ("fe80::1%eth0", 80),
        ("10.0.0.1 ", 80),
        ("10.0.0.1", 0),
        ("10.0.0.1", 65_536),
        ("10.0.0.1", -1),
        ("10.0.0.1", True),
        ("10.0.0.1", "80"),
        ("10.0.0.1", None),
        ("10.0.0.1", 80.0),
    ],
)
def test_what_is_no_address_and_port_is_none(address: str, port: Any) -> None:
    found = read(entry(address, port))

    assert found.address is None
    assert why_unusable(found.address, Limits()) == "no IP address and port"


@pytest.mark.parametrize("weight", [0, -1, 65_536, "7", True, None, 2.0])
def test_a_weight_that_makes_no_sense_is_one(weight: Any) -> None:
    assert read(entry("10.0.0.1", Weights={"Passing": weight})).weight == 1


def test_whose_an_instance_is_is_read_of_meshcs_own_registrations_only() -> None:
    foreign = entry("10.0.0.1", Meta={"mesh": "shop", "node": "app1"})

    assert (read(foreign).mesh, read(foreign).node) == ("", "")


@pytest.mark.property
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "Node",
                        "Service",
                        "Checks",
                        "Address",
                        "Port",
                        "Meta",
                        "Tags",
                        "Weights",
                        "Status",
                        "ID",
                    ]
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=20,
    )
)
def test_an_entry_of_any_shape_is_read_without_a_word(value: Any) -> None:
    given_entries = [value] if isinstance(value, dict) else []

    found = read_instances(given_entries)

    assert len(found) == len(given_entries)


@pytest.mark.property
@given(st.permutations(["10.0.0.1", "10.0.0.2", "fd00::1", "db"]))
def test_the_order_of_an_answer_means_nothing(order: list[str]) -> None:
    expected = read_instances([entry(one) for one in sorted(order)])

    assert read_instances([entry(one) for one in order]) == expected


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.0.0.1", "a loopback address"),
        ("127.9.9.9", "a loopback address"),
        ("::1", "a loopback address"),
        ("169.254.169.254", "a link-local address, or that of a cloud's metadata"),
        ("fe80::1", "a link-local address, or that of a cloud's metadata"),
        ("fd00:ec2::254", "a link-local address, or that of a cloud's metadata"),
        ("100.100.100.200", "a link-local address, or that of a cloud's metadata"),
        ("168.63.129.16", "a link-local address, or that of a cloud's metadata"),
        ("0.0.0.0", "an address that nobody has"),
        ("0.1.2.3", "an address that nobody has"),
        ("::", "an address that nobody has"),
        ("224.0.0.1", "an address that nobody has"),
        ("ff02::1", "an address that nobody has"),
        ("255.255.255.255", "an address that nobody has"),
        ("240.0.0.1", "an address that nobody has"),
        ("10.0.0.1", ""),
        ("192.168.1.1", ""),
        ("8.8.8.8", ""),
        ("fd00::1", ""),
        ("2001:db8::1", ""),
    ],
)
def test_consul_may_lead_nowhere_but_to_hosts(address: str, reason: str) -> None:
    assert why_unusable(Address(address, 80), Limits(admin=ADMIN)) == reason


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_loopback_addresses_are_taken_where_somebody_has_allowed_them(host: str) -> None:
    assert why_unusable(Address(host, 80), Limits(may_loop=True)) == ""


@pytest.mark.parametrize("host", ["10.0.0.9", "127.0.0.1", "::1"])
def test_the_admin_interface_is_out_of_reach_even_then(host: str) -> None:
    limits = Limits(admin=ADMIN, may_loop=True)

    assert why_unusable(Address(host, 9901), limits) == ("the admin interface of this host's Envoy")


def test_a_long_answer_costs_what_is_kept_of_it() -> None:
    huge = entry("x" * 100_000, Tags=["t" * 1_000] * 1_000, ID="i" * 100_000)

    found = read(huge)

    assert len(json.dumps([found.id, found.told, sorted(found.tags)])) < 2_000
