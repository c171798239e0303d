"""The gate with a real Envoy: what it accepts, and whom it names with which reason."""

from __future__ import annotations

import copy
import json
import random
import re
from typing import TYPE_CHECKING

import pytest

from meshc.validate.envoy_binary import Candidate, EnvoyGate
from meshc.validate.static_bootstrap import (
    BOOTSTRAP,
    CLUSTER,
    ENDPOINTS,
    LISTENER,
    ROUTES,
    assemble,
)
from tests.validate.test_envoy_samples import (
    EXTENSIONS,
    Message,
    bootstrap,
    eds_cluster,
    endpoint,
    endpoints,
    envoy_or_skip,
    file_source,
    first_filter,
    http_listener,
    mixed,
    routes,
    static_cluster,
    tcp_listener,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.envoy


@pytest.fixture(scope="session")
def envoy() -> Path:
    return envoy_or_skip()


def set_port(m: Message) -> None:
    m["address"]["socket_address"]["port_value"] = 70000


def set_host_name(m: Message) -> None:
    m["address"]["socket_address"]["address"] = "front.example"


def set_endpoint_name(m: Message) -> None:
    m["endpoints"][1]["lb_endpoints"][0]["endpoint"] = endpoint("app.example")["endpoint"]


# What is done to a resource, and what Envoy says then.
CORRUPTIONS: list[tuple[str, Callable[[Message], object], str]] = [
    (LISTENER, set_port, "Address.SocketAddress.PortValue: value must be less than or equal"),
    (LISTENER, set_host_name, "malformed IP address: front.example"),
    (LISTENER, lambda m: first_filter(m).update(stat_prefix=""), "StatPrefix: value length"),
    (LISTENER, lambda m: first_filter(m).update(nope=1), "no such field: 'nope'"),
    (LISTENER, lambda m: m.update(traffic_direction="UP"), "unknown enum value: 'UP'"),
    (LISTENER, lambda m: m.update(filter_chains=[]), "no filter chains specified"),
    (CLUSTER, lambda m: m.update(connect_timeout="-1s"), "Expected positive duration"),
    (CLUSTER, lambda m: m.update(lb_policy="BEST"), "unknown enum value: 'BEST'"),
    (CLUSTER, lambda m: m.update(name=""), "Name: value length must be at least 1"),
    (CLUSTER, lambda m: m.update(lb_policy="CLUSTER_PROVIDED"), "did not provide one"),
    (CLUSTER, lambda m: m.update(type="EDS", eds_cluster_config={}), "Missing config source"),
    (ROUTES, lambda m: m["virtual_hosts"].append(m["virtual_hosts"][0]), "single wildcard domain"),
    (
        ROUTES,
        lambda m: m["virtual_hosts"][0]["routes"][0].update(match={"safe_regex": {"regex": "a(b"}}),
        "missing ): a(b",
    ),
    (ROUTES, lambda m: m["virtual_hosts"][0]["routes"][0]["match"].clear(), "path_specifier"),
    (ROUTES, lambda m: m.update(vhds=1), "unexpected character: '1'"),
    (ENDPOINTS, set_endpoint_name, "malformed IP address: app.example"),
    (ENDPOINTS, lambda m: m["endpoints"][0].update(priority=999), "Priority: value must be less"),
    (ENDPOINTS, lambda m: m.update(cluster_name=""), "ClusterName: value length"),
]


def corrupted(
    candidates: list[Candidate], count: int, seed: int
) -> tuple[list[Candidate], dict[str, str]]:
    """Break so many of the candidates; return all, and the expected reasons by key."""
    dice = random.Random(seed)
    result = list(candidates)
    expected = {}
    for index in sorted(dice.sample(range(len(result)), count)):
        candidate = result[index]
        fitting = [(c, words) for kind, c, words in CORRUPTIONS if kind == candidate.type_url]
        corrupt, words = dice.choice(fitting)
        message = copy.deepcopy(dict(candidate.message))
        corrupt(message)
        result[index] = Candidate(candidate.key, candidate.type_url, message)
        expected[candidate.key] = words
    return result, expected


def test_a_good_mixed_batch_passes_in_exactly_one_run(envoy: Path) -> None:
    gate = EnvoyGate(envoy)

    refusals = gate.judge([*mixed(300)])

    assert refusals == ()
    assert gate.run_count == 1


def test_the_version_is_a_number(envoy: Path) -> None:
    assert re.fullmatch(r"1\.\d+\.\d+\S*", EnvoyGate(envoy).version())


@pytest.mark.parametrize(("kind", "corrupt", "words"), CORRUPTIONS)
def test_a_bad_resource_among_good_ones_is_named_with_envoys_reason(
    envoy: Path, kind: str, corrupt: Callable[[Message], object], words: str
) -> None:
    candidates = mixed(24)
    place = next(i for i, c in enumerate(candidates) if i > 11 and c.type_url == kind)
    message = copy.deepcopy(dict(candidates[place].message))
    corrupt(message)
    candidates[place] = Candidate("bad", kind, message)
    gate = EnvoyGate(envoy)

    (refusal,) = gate.judge(candidates)

    assert refusal.key == "bad"
    assert words in refusal.reason
    assert "\n" not in refusal.reason
    # Refused, traced, alone, what follows, what came before: an index, a log line or a quoted
    # word told which.  Of a bad duration Envoy states nothing usable, and the batch is halved.
    assert gate.run_count <= (12 if "duration" in words else 5)


def test_exactly_the_twenty_corrupted_of_five_hundred_are_named_in_order(envoy: Path) -> None:
    candidates, expected = corrupted(mixed(500), 20, seed=20261123)
    gate = EnvoyGate(envoy, batch_size=200)

    refusals = gate.judge(candidates)

    assert [refusal.key for refusal in refusals] == list(expected)
    for refusal in refusals:
        assert expected[refusal.key] in refusal.reason
    assert gate.run_count <= 3 + 4 * 20


def test_reasons_are_the_same_on_every_run(envoy: Path) -> None:
    candidates, _ = corrupted(mixed(60), 12, seed=7)

    first = EnvoyGate(envoy).judge(candidates)

    assert first == EnvoyGate(envoy, batch_size=7).judge(candidates)


def test_the_same_names_and_addresses_on_different_nodes_pass(envoy: Path) -> None:
    pipe = tcp_listener(3)
    pipe["address"] = {"pipe": {"path": "/run/meshc/" + "x" * 90}}
    two = tcp_listener(4)
    two["additional_addresses"] = [{"address": tcp_listener(address="::1")["address"]}]
    candidates = [
        Candidate(f"{number}-{copy_number}", type_url, message)
        for copy_number in range(3)
        for number, (type_url, message) in enumerate(
            [
                (LISTENER, http_listener()),
                (LISTENER, tcp_listener(1, "::1")),
                (LISTENER, tcp_listener(2, "0.0.0.0")),
                (LISTENER, pipe),
                (LISTENER, two),
                (CLUSTER, eds_cluster()),
                (CLUSTER, static_cluster()),
                (ROUTES, routes()),
                (ENDPOINTS, endpoints()),
            ]
        )
    ]
    gate = EnvoyGate(envoy)

    assert gate.judge(candidates) == ()
    assert gate.run_count == 1


def test_a_second_listener_of_a_name_is_judged_although_envoy_would_skip_it(envoy: Path) -> None:
    bad = tcp_listener(1)
    first_filter(bad)["stat_prefix"] = ""
    candidates = [Candidate("good", LISTENER, tcp_listener()), Candidate("bad", LISTENER, bad)]

    assert [refusal.key for refusal in EnvoyGate(envoy).judge(candidates)] == ["bad"]


def test_addresses_get_ports_of_their_own_and_one_listeners_equal_ports_stay_equal() -> None:
    twice = tcp_listener(address="::1")
    twice["additional_addresses"] = [{"address": twice["address"]}]
    candidates = [Candidate("a", LISTENER, twice), Candidate("b", LISTENER, tcp_listener())]

    listeners = json.loads(assemble(candidates, max_checks=1).text)["static_resources"]["listeners"]

    first, second = listeners
    assert first["address"] == first["additional_addresses"][0]["address"]
    assert first["address"]["socket_address"]["address"] == "::1"
    ports = [one["address"]["socket_address"]["port_value"] for one in (first, second)]
    assert len(set(ports)) == 2


def test_names_that_collide_with_the_gates_own_numbering_do_not_matter(envoy: Path) -> None:
    sly = static_cluster()
    sly["name"] = "meshc~ads"
    listener = http_listener()
    tracing = first_filter(listener)["tracing"]["provider"]["typed_config"]
    tracing["collector_cluster"] = "inbound/app~meshc~0"
    candidates = [
        Candidate("a", CLUSTER, static_cluster()),
        Candidate("b", CLUSTER, sly),
        Candidate("c", LISTENER, listener),
    ]

    assert EnvoyGate(envoy).judge(candidates) == ()


def test_references_to_clusters_of_other_lists_resolve(envoy: Path) -> None:
    inline = http_listener()
    manager = first_filter(inline)
    del manager["rds"]
    manager["route_config"] = routes() | {"validate_clusters": True}
    manager["http_filters"].insert(
        0,
        {
            "name": "envoy.filters.http.ext_authz",
            "typed_config": {
                "@type": f"{EXTENSIONS}filters.http.ext_authz.v3.ExtAuthz",
                "grpc_service": {"envoy_grpc": {"cluster_name": "authorizer"}},
            },
        },
    )
    aggregate = {
        "name": "all",
        "lb_policy": "CLUSTER_PROVIDED",
        "cluster_type": {
            "name": "envoy.clusters.aggregate",
            "typed_config": {
                "@type": f"{EXTENSIONS}clusters.aggregate.v3.ClusterConfig",
                "clusters": ["one", "two"],
            },
        },
    }
    candidates = [Candidate("l", LISTENER, inline), Candidate("c", CLUSTER, aggregate)]

    assert EnvoyGate(envoy).judge(candidates) == ()


def test_certificate_files_and_secrets_of_the_node_are_not_needed_here(envoy: Path) -> None:
    plain, secret = tcp_listener(), tcp_listener(1)
    for listener, common in (
        (
            plain,
            {
                "tls_certificates": [
                    {
                        "certificate_chain": {"filename": "/etc/meshc/tls/cert.pem"},
                        "private_key": {"filename": "/etc/meshc/tls/key.pem"},
                        "watched_directory": {"path": "/etc/meshc/tls"},
                    }
                ],
                "validation_context": {"trusted_ca": {"filename": "/etc/meshc/tls/ca.pem"}},
            },
        ),
        (
            secret,
            {
                "tls_certificate_sds_secret_configs": [
                    {"name": "own", "sds_config": file_source("/etc/meshc/tls/sds.json")}
                ]
            },
        ),
    ):
        listener["filter_chains"][0]["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": f"{EXTENSIONS}transport_sockets.tls.v3.DownstreamTlsContext",
                "common_tls_context": common,
            },
        }
    candidates = [Candidate("plain", LISTENER, plain), Candidate("secret", LISTENER, secret)]

    assert EnvoyGate(envoy).judge(candidates) == ()


def test_bootstraps_are_judged_one_by_one_and_without_stubs(envoy: Path) -> None:
    dangling = bootstrap()
    dangling["cluster_manager"] = {"local_cluster_name": "nowhere"}
    unknown = bootstrap() | {"static_resource": {}}
    gate = EnvoyGate(envoy)

    refusals = gate.judge(
        [
            Candidate("good", BOOTSTRAP, bootstrap()),
            Candidate("dangling", BOOTSTRAP, dangling),
            Candidate("unknown", BOOTSTRAP, unknown),
            *mixed(6),
        ]
    )

    assert [refusal.key for refusal in refusals] == ["dangling", "unknown"]
    assert "nowhere" in refusals[0].reason
    assert "no such field: 'static_resource'" in refusals[1].reason


def test_streaming_gives_the_same_answer_as_judging_at_once(envoy: Path) -> None:
    candidates, expected = corrupted(mixed(60), 4, seed=3)

    with EnvoyGate(envoy, batch_size=16) as gate:
        for start in range(0, len(candidates), 7):
            gate.submit(candidates[start : start + 7])
        refusals = gate.finish()

    assert [refusal.key for refusal in refusals] == list(expected)


def test_after_enough_refusals_the_rest_is_returned_as_unjudged_and_never_as_accepted(
    envoy: Path,
) -> None:
    bad = [
        Candidate(f"{number}", CLUSTER, static_cluster(number) | {"lb_policy": "CLUSTER_PROVIDED"})
        for number in range(6)
    ]
    good = [Candidate("good", CLUSTER, static_cluster()), *mixed(10)]

    refusals = EnvoyGate(envoy, max_refusals=2, batch_size=7).judge([*bad, *good])

    assert [refusal.key for refusal in refusals] == ["0", "1", "2", "3", "4", "5", "good"]
    assert [refusal.is_judged for refusal in refusals] == [True] * 2 + [False] * 5
    assert refusals[-1].reason.startswith("not judged")
