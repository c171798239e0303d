"""Which endpoints are used: every rule for itself, and all of them for any answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshc.delivery.agent.health.assignment import Address
from meshc.delivery.agent.health.choice import choose, is_ours
from meshc.delivery.agent.health.instances import Limits, read_instances
from meshc.delivery.errors import DeliveryError
from tests.delivery.health.entries import addresses, entry, file, rule

if TYPE_CHECKING:
    from meshc.delivery.agent.health.choice import Choice
    from meshc.delivery.agent.health.instances import Instance

LIMITS = Limits()
COMPILED = file("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4")
NONE = file()
STATUSES = st.sampled_from(["passing", "warning", "critical"])


def mesh(
    instances: tuple[Instance, ...] | None, panic: int = 50, before: bytes | None = None
) -> Choice:
    return choose(rule(panic), COMPILED, instances, before, LIMITS)


def known(
    instances: tuple[Instance, ...] | None, *tags: str, panic: int = 50, before: bytes | None = None
) -> Choice:
    return choose(rule(panic, *tags, is_only_in_consul=True), NONE, instances, before, LIMITS)


def states(**by_last: str) -> tuple[Instance, ...]:
    """Instances at 10.0.0.N, by N."""
    return read_instances(
        [entry(f"10.0.0.{last[1:]}", status=status) for last, status in by_last.items()]
    )


# --- services of the mesh -----------------------------------------------------------------------


def test_hosts_that_do_not_pass_are_left_out() -> None:
    found = mesh(states(_1="passing", _2="critical", _3="passing", _4="warning"))

    assert addresses(found.data) == ["10.0.0.1:80", "10.0.0.3:80"]
    assert (found.known, found.passing, found.used, found.is_panic) == (4, 2, 2, False)
    assert found.left_out == ("10.0.0.2:80 (h-10.0.0.2)", "10.0.0.4:80 (h-10.0.0.4)")


def test_where_all_pass_the_file_is_the_builds_own() -> None:
    assert mesh(states(_1="passing", _2="passing", _3="passing", _4="passing")).data is COMPILED


def test_below_the_threshold_all_are_used() -> None:
    found = mesh(states(_1="passing", _2="critical", _3="critical", _4="critical"))

    assert found.data is COMPILED
    assert (found.passing, found.used, found.is_panic, found.left_out) == (1, 4, True, ())


@pytest.mark.parametrize(("panic", "expected"), [(25, 1), (26, 4), (0, 1), (100, 4)])
def test_the_threshold_itself_is_enough(panic: int, expected: int) -> None:
    assert mesh(states(_1="passing", _2="critical"), panic).used == expected


def test_without_any_that_passes_all_are_used_whatever_the_threshold() -> None:
    found = mesh(states(_1="critical", _2="critical"), panic=0)

    assert (found.data, found.is_panic) == (COMPILED, True)


def test_a_host_that_consul_does_not_know_does_not_pass() -> None:
    found = mesh(states(_1="passing", _2="passing", _3="passing"))

    assert addresses(found.data) == ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]


def test_consul_never_brings_a_host_in() -> None:
    found = mesh(states(_1="passing", _2="passing", _9="passing"))

    assert addresses(found.data) == ["10.0.0.1:80", "10.0.0.2:80"]


def test_another_port_is_another_instance() -> None:
    instances = read_instances([entry("10.0.0.1"), entry("10.0.0.2"), entry("10.0.0.3", 81)])

    assert mesh(instances).used == 2


def test_of_two_entries_for_one_address_one_that_passes_is_enough() -> None:
    instances = read_instances(
        [
            entry("10.0.0.1", name="old", status="critical"),
            entry("10.0.0.1", name="new"),
            entry("10.0.0.2"),
        ]
    )

    assert addresses(mesh(instances).data) == ["10.0.0.1:80", "10.0.0.2:80"]


def test_what_another_mesh_has_registered_says_nothing() -> None:
    other = {"managed-by": "meshc", "mesh": "other", "node": "x"}
    instances = read_instances(
        [entry("10.0.0.1"), entry("10.0.0.2"), entry("10.0.0.3", Meta=other)]
    )

    assert mesh(instances).used == 2


def test_a_host_is_known_by_its_name_where_its_address_is_none() -> None:
    ours = {"managed-by": "meshc", "mesh": "shop", "node": "h-10.0.0.3"}
    instances = read_instances(
        [entry("10.0.0.1"), entry("10.0.0.2"), entry("web.internal", Meta=ours)]
    )

    assert addresses(mesh(instances).data) == ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]


def test_with_nothing_heard_and_nothing_before_all_are_used() -> None:
    found = mesh(None)

    assert found.data is COMPILED
    assert (found.passing, found.is_panic) == (None, False)


def test_with_nothing_heard_endpoints_stay_as_they_were() -> None:
    found = mesh(None, before=file("10.0.0.2", "10.0.0.3"))

    assert addresses(found.data) == ["10.0.0.2:80", "10.0.0.3:80"]
    assert found.left_out[0] == "10.0.0.1:80 (h-10.0.0.1)"


@pytest.mark.parametrize("before", [file("10.0.0.1"), file("10.9.9.9"), b"", file(name="other")])
def test_what_was_before_has_to_be_enough_too(before: bytes) -> None:
    assert mesh(None, before=before).data is COMPILED


def test_a_damaged_build_is_refused() -> None:
    with pytest.raises(DeliveryError):
        choose(rule(), b"{}", (), None, LIMITS)


@pytest.mark.property
@given(
    statuses=st.dictionaries(st.integers(1, 12), STATUSES, max_size=12),
    size=st.integers(1, 10),
    panic=st.integers(0, 100),
    before=st.none() | st.lists(st.integers(1, 12), unique=True),
)
def test_for_any_answer_it_is_those_that_pass_or_all_of_them(
    statuses: dict[int, str], size: int, panic: int, before: list[int] | None
) -> None:
    compiled = file(*[f"10.0.0.{number}" for number in range(1, size + 1)])
    instances = read_instances(
        [entry(f"10.0.0.{number}", status=status) for number, status in statuses.items()]
    )
    earlier = None if before is None else file(*[f"10.0.0.{number}" for number in before])

    found = choose(rule(panic), compiled, instances, earlier, LIMITS)

    passing = [number for number in range(1, size + 1) if statuses.get(number) == "passing"]
    is_enough = bool(passing) and len(passing) / size * 100 >= panic
    expected = passing if is_enough else list(range(1, size + 1))
    assert addresses(found.data) == [f"10.0.0.{number}:80" for number in expected]
    assert found.is_panic is not is_enough
    assert (found.known, found.passing, found.used) == (size, len(passing), len(expected))
    assert is_ours(rule(panic), found.data, compiled, LIMITS)


# --- services that only Consul knows ------------------------------------------------------------


def test_endpoints_come_from_consul_with_port_and_weight_in_order() -> None:
    instances = read_instances(
        [
            entry("10.0.0.2", 5432, name="b", Weights={"Passing": 3}),
            entry("10.0.0.1", 5433, name="a"),
            entry("10.0.0.1", 5432, name="c"),
        ]
    )

    found = known(instances)

    assert addresses(found.data) == ["10.0.0.1:5432", "10.0.0.1:5433", "10.0.0.2:5432"]
    assert found.data.count(b'"load_balancing_weight": 3') == 1
    assert b'"hostname": "n-a"' in found.data
    assert b'"cluster_name": "app@front"' in found.data


def test_only_instances_with_all_of_the_tags_are_used() -> None:
    instances = read_instances(
        [
            entry("10.0.0.1", Tags=["a", "b", "c"]),
            entry("10.0.0.2", Tags=["a"]),
            entry("10.0.0.3", Tags=["b"]),
        ]
    )

    assert addresses(known(instances, "a", "b").data) == ["10.0.0.1:80"]


def test_those_that_pass_are_used_and_all_below_the_threshold() -> None:
    half = states(_1="passing", _2="critical")
    few = states(_1="passing", _2="critical", _3="critical")

    assert addresses(known(half).data) == ["10.0.0.1:80"]
    assert known(few).used == 3
    assert known(few).is_panic


def test_what_cannot_be_believed_is_left_out_and_named() -> None:
    instances = read_instances([entry("10.0.0.1"), entry("db.internal"), entry("127.0.0.1")])

    found = known(instances)

    assert addresses(found.data) == ["10.0.0.1:80"]
    assert found.refused == (
        "127.0.0.1:80 (a loopback address)",
        "db.internal:80 (no IP address and port)",
    )
    assert found.known == 1


def test_where_nothing_can_be_used_endpoints_stay_as_they_were() -> None:
    before = known(states(_1="passing")).data

    found = known(read_instances([entry("127.0.0.1")]), before=before)

    assert found.data == before
    assert (found.used, found.passing) == (1, None)


def test_with_nothing_heard_they_stay_too_and_at_first_there_are_none() -> None:
    before = known(states(_1="passing")).data

    assert known(None, before=before).data == before
    assert known(None).data == NONE


@pytest.mark.parametrize(
    "before",
    [
        b"",
        file("10.0.0.1"),
        known(read_instances([entry("10.0.0.1")])).data.replace(b"10.0.0.1", b"127.0.0.1"),
        known(read_instances([entry("10.0.0.1")])).data.replace(b"app@front", b"other@own"),
    ],
    ids=["empty", "of another hand", "loopback", "of another service"],
)
def test_what_lies_there_and_is_no_choice_of_ours_is_not_taken_up(before: bytes) -> None:
    assert known(None, before=before).data == NONE


@pytest.mark.property
@given(
    st.lists(
        st.builds(
            entry,
            st.sampled_from(["10.0.0.1", "10.0.0.2", "fd00::1", "127.0.0.1", "db", "", "0.0.0.0"]),
            st.sampled_from([80, 81, 0, 70_000]),
            STATUSES,
            Tags=st.lists(st.sampled_from(["a", "b"]), max_size=2),
        ),
        max_size=8,
    ),
    st.integers(0, 100),
)
def test_for_any_answer_only_sound_addresses_are_used_once_and_in_order(
    entries: list[dict[str, object]], panic: int
) -> None:
    before = known(states(_7="passing")).data

    found = known(read_instances(entries), "a", panic=panic, before=before)

    used = addresses(found.data)
    assert used
    assert len(used) == len(set(used)) == found.used
    sound = {"10.0.0.1:80", "10.0.0.1:81", "10.0.0.2:80", "10.0.0.2:81", "fd00::1:80", "fd00::1:81"}
    assert set(used) <= sound | {"10.9.9.9:80", "10.9.9.9:81"} or used == ["10.0.0.7:80"]
    assert is_ours(rule(panic, "a", is_only_in_consul=True), found.data, NONE, LIMITS)


def test_the_admin_interface_is_never_an_endpoint() -> None:
    limits = Limits(admin=Address("10.0.0.1", 9901))
    instances = read_instances([entry("10.0.0.1", 9901), entry("10.0.0.1", 80)])

    found = choose(rule(is_only_in_consul=True), NONE, instances, None, limits)

    assert addresses(found.data) == ["10.0.0.1:80"]
