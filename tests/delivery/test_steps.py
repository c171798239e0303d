"""The order in which files replace each other, without any Envoy."""

from __future__ import annotations

import json

import pytest

from meshc.delivery.agent.configuration import read_configuration
from meshc.delivery.agent.steps import AwaitDrain, AwaitWarm, Put, Remove, Step, plan_steps
from meshc.delivery.errors import DeliveryError
from tests.delivery.node_files import (
    bootstrap,
    eds_cluster,
    endpoints,
    http_listener,
    node_files,
    response,
    routes,
    tcp_listener,
)

HOST = "127.0.35.1"
A = eds_cluster("outbound/a", "a")
B = eds_cluster("outbound/b", "b")
TO_A = http_listener("to-a", (HOST, 9001), "a")
TO_B = http_listener("to-b", (HOST, 9002), "b")
SHARED_A = {
    "a/eds.json": endpoints("ea1", "a", (HOST, 1)),
    "a/rds-outbound.json": routes("ra1", "outbound/a", "outbound/a"),
}
SHARED_B = {
    "b/eds.json": endpoints("eb1", "b", (HOST, 2)),
    "b/rds-outbound.json": routes("rb1", "outbound/b", "outbound/b"),
}
ONLY_A = node_files(listeners=[TO_A], clusters=[A], shared=SHARED_A)
BOTH = node_files(listeners=[TO_A, TO_B], clusters=[A, B], shared=SHARED_A | SHARED_B, version="2")


def planned(
    old: dict[str, bytes],
    new: dict[str, bytes],
    *,
    stale: tuple[str, ...] = (),
    is_draining: bool = False,
    running: dict[str, list[str]] | None = None,
) -> tuple[Step, ...]:
    return plan_steps(
        read_configuration(old, origin="old"),
        read_configuration(new, origin="new"),
        stale=stale,
        is_draining=is_draining,
        running=running,
    )


def told(steps: tuple[Step, ...]) -> list[str]:
    """Steps in one word each, so that an order reads like a list."""
    words = []
    for step in steps:
        match step:
            case Put(path=path):
                words.append(path)
            case AwaitWarm():
                words.append("warm")
            case AwaitDrain():
                words.append("drain")
            case Remove(path=path):
                words.append(f"-{path}")
    return words


def put(steps: tuple[Step, ...], path: str, number: int = 0) -> Put:
    return [step for step in steps if isinstance(step, Put) and step.path == path][number]


def names(step: Put) -> list[str]:
    return [resource["name"] for resource in json.loads(step.data)["resources"]]


def test_equal_sets_need_no_step() -> None:
    assert planned(ONLY_A, dict(ONLY_A)) == ()


def test_a_new_dependency_comes_from_the_referred_to_the_referring() -> None:
    steps = planned(ONLY_A, BOTH)

    assert told(steps) == [
        "services/b/eds.json",
        "services/b/rds-outbound.json",
        "cds.json",
        "warm",
        "lds.json",
        "warm",
    ]
    assert put(steps, "services/b/eds.json").subscriptions == ()
    assert put(steps, "cds.json").data == BOTH["cds.json"]
    assert put(steps, "cds.json").subscriptions == ("cluster_manager.cds.",)
    assert put(steps, "lds.json").subscriptions == ("listener_manager.lds.",)


def test_a_dropped_dependency_leaves_after_its_listener_has_drained() -> None:
    steps = planned(BOTH, ONLY_A)

    assert told(steps) == [
        "lds.json",
        "warm",
        "drain",
        "cds.json",
        "warm",
        "-services/b/eds.json",
        "-services/b/rds-outbound.json",
    ]
    assert AwaitDrain(("outbound/b",)) in steps


def test_changed_endpoints_touch_one_file_and_wait_for_every_cluster_that_reads_it() -> None:
    also_a = eds_cluster("outbound/a@front", "a")
    old = node_files(listeners=[TO_A], clusters=[A, also_a], shared=SHARED_A)
    new = old | {"services/a/eds.json": endpoints("ea2", "a", (HOST, 3))}

    steps = planned(old, new)

    assert told(steps) == ["services/a/eds.json"]
    assert put(steps, "services/a/eds.json").subscriptions == (
        "cluster.outbound/a.",
        "cluster.outbound/a@front.",
    )


def test_a_route_to_a_new_cluster_prunes_the_old_one_at_once() -> None:
    old = node_files(listeners=[TO_A], clusters=[A], shared=SHARED_A)
    shared = {
        "a/rds-outbound.json": routes("ra2", "outbound/a", "outbound/b"),
        "b/eds.json": SHARED_B["b/eds.json"],
    }
    new = node_files(listeners=[TO_A], clusters=[B], shared=shared, version="2")
    new["lds.json"] = old["lds.json"]

    steps = planned(old, new)

    assert told(steps) == [
        "services/b/eds.json",
        "cds.json",
        "warm",
        "services/a/rds-outbound.json",
        "cds.json",
        "warm",
        "-services/a/eds.json",
    ]
    assert names(put(steps, "cds.json")) == ["outbound/b", "outbound/a"]
    assert names(put(steps, "cds.json", 1)) == ["outbound/b"]
    assert put(steps, "services/a/rds-outbound.json").subscriptions == (
        "http.outbound/a.rds.outbound/a.",
    )


def test_the_intermediate_file_has_a_version_of_its_own() -> None:
    old = node_files(listeners=[TO_A], clusters=[A], shared=SHARED_A)
    new = node_files(listeners=[TO_B], clusters=[B], shared=SHARED_B, version="2")

    versions = [
        json.loads(step.data)["version_info"]
        for step in planned(old, new)
        if isinstance(step, Put) and step.path == "cds.json"
    ]

    assert len(versions) == 2
    assert versions[0] not in {"cds-1", "cds-2", ""}
    assert versions[1] == "cds-2"


def test_tcp_listeners_are_drained_before_their_cluster_goes() -> None:
    tcp = tcp_listener("tcp", (HOST, 9003), "outbound/b")
    old = node_files(
        listeners=[TO_A, tcp], clusters=[A, B], shared=SHARED_A | {"b/eds.json": b'{"a": 1}'}
    )

    assert told(planned(old, ONLY_A)).count("drain") == 1


def test_an_unrelated_listener_change_does_not_delay_the_pruning() -> None:
    old = node_files(listeners=[TO_A], clusters=[A, B], shared=SHARED_A | SHARED_B)
    changed = http_listener("to-a", (HOST, 9001), "a", per_connection_buffer_limit_bytes=1000)
    new = node_files(listeners=[changed], clusters=[A], shared=SHARED_A, version="2")

    assert "drain" not in told(planned(old, new))


def test_listeners_that_drain_since_an_earlier_delivery_delay_the_pruning() -> None:
    old = node_files(listeners=[TO_A], clusters=[A, B], shared=SHARED_A | SHARED_B)
    new = node_files(listeners=[TO_A], clusters=[A], shared=SHARED_A, version="2")
    new["lds.json"] = old["lds.json"]

    assert told(planned(old, new))[:2] == ["cds.json", "warm"]
    assert told(planned(old, new, is_draining=True))[:3] == ["drain", "cds.json", "warm"]


def test_clusters_stay_until_listeners_of_which_envoy_missed_the_change_have_drained() -> None:
    on_disk = BOTH | {"lds.json": ONLY_A["lds.json"]}  # killed before Envoy was woken again

    steps = planned(on_disk, ONLY_A, stale=("lds.json",))

    assert told(steps)[:4] == ["lds.json", "warm", "drain", "cds.json"]


def test_listeners_that_swap_addresses_take_an_intermediate_step() -> None:
    swapped = [http_listener("to-a", (HOST, 9002), "a"), http_listener("to-b", (HOST, 9001), "b")]
    new = BOTH | {"lds.json": response("lds-3", *swapped)}

    steps = planned(BOTH, new)

    assert told(steps) == ["lds.json", "lds.json", "warm"]
    assert names(put(steps, "lds.json")) == []
    assert names(put(steps, "lds.json", 1)) == ["to-a", "to-b"]


def test_a_listener_that_takes_over_an_address_displaces_only_its_owner() -> None:
    moved = [http_listener("to-a", (HOST, 9002), "a"), http_listener("to-b", (HOST, 9003), "b")]
    new = BOTH | {"lds.json": response("lds-3", *moved)}

    assert names(put(planned(BOTH, new), "lds.json")) == ["to-a"]


@pytest.mark.parametrize("lying", [(), ("to-a",), ("to-a", "to-b")])
def test_a_swap_of_which_envoy_has_missed_a_part_begins_anew(lying: tuple[str, ...]) -> None:
    """Whatever lies on disk: what counts are the addresses that Envoy holds."""
    swapped = [http_listener("to-a", (HOST, 9002), "a"), http_listener("to-b", (HOST, 9001), "b")]
    new = BOTH | {"lds.json": response("lds-3", *swapped)}
    on_disk = BOTH | {
        "lds.json": response("lds-2b", *(one for one in swapped if one["name"] in lying))
    }

    steps = planned(
        on_disk,
        new,
        stale=("lds.json",),
        running={"to-a": [f"{HOST} 9001"], "to-b": [f"{HOST} 9002"]},
    )

    assert told(steps) == ["lds.json", "lds.json", "warm"]
    assert names(put(steps, "lds.json")) == []
    assert names(put(steps, "lds.json", 1)) == ["to-a", "to-b"]


def test_who_takes_over_an_address_that_envoy_still_holds_waits_for_the_step_in_between() -> None:
    to_a = http_listener("to-a", (HOST, 9003), "a")
    taking = http_listener("taking", (HOST, 9001), "b")
    new = BOTH | {"lds.json": response("lds-3", to_a, taking, TO_B)}

    steps = planned(
        new, new, stale=("lds.json",), running={"to-a": [f"{HOST} 9001"], "gone": ["x"]}
    )

    assert names(put(steps, "lds.json")) == ["to-b"]
    assert names(put(steps, "lds.json", 1)) == ["to-a", "taking", "to-b"]


def test_listeners_that_envoy_has_missed_and_that_take_no_address_come_in_one_step() -> None:
    steps = planned(BOTH, BOTH, stale=("lds.json",), running={"to-a": [f"{HOST} 9001"]})

    assert told(steps) == ["lds.json", "warm"]


def test_routes_that_envoy_follows_although_no_listener_on_disk_does_come_after_clusters() -> None:
    """Those of a listener that is missing on disk, because Envoy has missed a step in between."""
    on_disk = ONLY_A | {"lds.json": response("lds-2b")}
    shared = SHARED_A | SHARED_B
    shared["a/rds-outbound.json"] = routes("ra2", "outbound/a", "outbound/b")
    new = node_files(listeners=[TO_A, TO_B], clusters=[A, B], shared=shared, version="3")

    steps = planned(on_disk, new, stale=("lds.json",), running={"to-a": [f"{HOST} 9001"]})

    order = [word.rpartition("/")[0] + word.rpartition("/")[2][:3] for word in told(steps)]
    assert order.index("cds") < order.index("services/ards")
    assert put(steps, "services/a/rds-outbound.json").subscriptions


def test_a_removed_listener_may_be_followed_on_its_address_in_one_step() -> None:
    new = node_files(
        listeners=[http_listener("other", (HOST, 9002), "a"), TO_A],
        clusters=[A],
        shared=SHARED_A,
        version="2",
    )

    assert told(planned(BOTH, new)).count("lds.json") == 1


def test_stale_files_are_put_again_and_nothing_else() -> None:
    steps = planned(BOTH, BOTH, stale=("lds.json", "services/a/eds.json"))

    assert told(steps) == ["services/a/eds.json", "lds.json", "warm"]


def test_stale_clusters_are_put_again_while_some_are_about_to_go() -> None:
    steps = planned(BOTH, ONLY_A, stale=("cds.json",))

    assert put(steps, "cds.json").data == BOTH["cds.json"]
    assert put(steps, "cds.json", 1).data == ONLY_A["cds.json"]


def test_a_file_that_was_lost_from_disk_is_confirmed_by_whoever_watches_it() -> None:
    lost = {path: data for path, data in ONLY_A.items() if path != "services/a/eds.json"}

    steps = planned(lost, ONLY_A)

    assert put(steps, "services/a/eds.json").subscriptions == ("cluster.outbound/a.",)


def test_a_changed_bootstrap_is_written_and_confirmed_by_nobody() -> None:
    new = ONLY_A | {"bootstrap.json": bootstrap("n1", (HOST, 9902))}

    steps = planned(ONLY_A, new)

    assert told(steps) == ["bootstrap.json"]
    assert put(steps, "bootstrap.json").subscriptions == ()


@pytest.mark.parametrize("text", [b"{}", b'{"version_info": "x"}', b"[]", b"{", b"\xff"])
def test_a_file_that_would_empty_envoy_is_no_configuration(text: bytes) -> None:
    with pytest.raises(DeliveryError, match="lds.json"):
        read_configuration(ONLY_A | {"lds.json": text}, origin="the bundle")


def test_a_file_without_version_could_not_be_confirmed() -> None:
    with pytest.raises(DeliveryError, match="version"):
        read_configuration(ONLY_A | {"cds.json": b'{"resources": []}'}, origin="the bundle")


def test_a_directory_that_was_never_laid_out_says_what_to_do() -> None:
    with pytest.raises(DeliveryError) as caught:
        read_configuration({}, origin="here")

    assert "materialize" in str(caught.value.hint)


def test_what_an_old_route_file_that_was_damaged_by_hand_named_is_waited_for() -> None:
    damaged = BOTH | {"services/b/rds-outbound.json": b"{"}

    steps = planned(damaged, ONLY_A)

    assert AwaitDrain(("outbound/b",)) in steps


def test_a_listener_with_odd_further_addresses_is_planned_like_any_other() -> None:
    odd = http_listener("to-b", (HOST, 9002), "b", additional_addresses="none")
    new = node_files(
        listeners=[TO_A, odd], clusters=[A, B], shared=SHARED_A | SHARED_B, version="3"
    )

    assert told(planned(BOTH, new)) == ["cds.json", "warm", "lds.json", "warm"]
