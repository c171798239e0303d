from __future__ import annotations

from typing import Any

from meshc.compile.compiler import CompiledNode
from meshc.compile.resources import BOOTSTRAP, CLUSTER, LISTENER, ROUTES, Resource, ResourceSet
from meshc.diagnostics import DiagnosticSink
from meshc.plan.types import NodeShape
from meshc.spec.origin import Origin
from meshc.spec.source import Document, SourceFile
from meshc.validate.consistency import ConsistencyCheck

ORIGIN = Origin(Document(SourceFile("app.yaml", "a: 1\n"), {"a": 1}), ())


def cluster(name: str, **fields: Any) -> Resource:
    return Resource.of(CLUSTER, name, {"name": name, **fields}, ORIGIN)


def listener(name: str, config: dict[str, Any], port: int = 80) -> Resource:
    message = {
        "name": name,
        "address": {"socket_address": {"address": "10.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "x", "typed_config": config}]}],
    }
    return Resource.of(LISTENER, name, message, ORIGIN)


def findings(
    clusters: list[Resource],
    listeners: list[Resource],
    files: dict[str, Resource] | None = None,
    bootstrap: dict[str, Any] | None = None,
) -> list[tuple[str, str]]:
    sink = DiagnosticSink()
    compiled = CompiledNode(
        shape=NodeShape(chains=(), clusters=()),
        listeners=ResourceSet(tuple(listeners)),
        clusters=ResourceSet(tuple(clusters)),
        bootstrap=Resource.of(BOOTSTRAP, "n1", bootstrap or {}, ORIGIN),
    )
    ConsistencyCheck(files or {}, sink).check("n1", compiled)
    return [(one.code, one.message) for one in sink.sorted()]


def test_a_complete_node_has_no_findings() -> None:
    assert findings([cluster("a")], [listener("l", {"cluster": "a"})]) == []


def test_a_tcp_proxy_to_an_unknown_cluster_is_found() -> None:
    assert findings([cluster("a")], [listener("l", {"cluster": "b"})]) == [
        ("MC602", 'on node "n1" Listener "l" refers to cluster "b", which is not there')
    ]


def test_tracers_to_unknown_clusters_are_found() -> None:
    for config in (
        {"collector_cluster": "spans"},
        {"grpc_service": {"envoy_grpc": {"cluster_name": "spans"}}},
        {"http_service": {"http_uri": {"cluster": "spans"}}},
    ):
        assert findings([], [listener("l", {"tracing": config})]) == [
            ("MC602", 'on node "n1" Listener "l" refers to cluster "spans", which is not there')
        ]


def test_weighted_and_mirrored_clusters_are_followed() -> None:
    config = {
        "weighted_clusters": {"clusters": [{"name": "a"}, {"name": "b"}]},
        "request_mirror_policies": [{"cluster": "c"}],
    }
    assert [text for _, text in findings([cluster("a")], [listener("l", config)])] == [
        'on node "n1" Listener "l" refers to cluster "b", which is not there',
        'on node "n1" Listener "l" refers to cluster "c", which is not there',
    ]


def rds(name: str, path: str) -> dict[str, Any]:
    source = {"path_config_source": {"path": path}}
    return {"rds": {"route_config_name": name, "config_source": source}}


def routes(name: str, target: str) -> Resource:
    return Resource.of(ROUTES, name, {"name": name, "routes": [{"cluster": target}]}, ORIGIN)


def test_missing_route_files_and_wrong_names_in_them_are_found() -> None:
    files = {"/x/r.json": routes("right", "a")}
    assert findings([cluster("a")], [listener("l", rds("right", "/x/r.json"))], files) == []
    assert findings([cluster("a")], [listener("l", rds("wrong", "/x/r.json"))], files) == [
        (
            "MC602",
            'on node "n1" Listener "l" refers to routes "wrong" in "/x/r.json", which is not there',
        )
    ]
    assert findings([cluster("a")], [listener("l", rds("right", "/x/s.json"))], files) == [
        (
            "MC602",
            'on node "n1" Listener "l" refers to routes "right" in "/x/s.json", which is not there',
        )
    ]


def test_routes_in_a_file_to_an_unknown_cluster_are_found() -> None:
    files = {"/x/r.json": routes("r", "gone")}
    assert findings([cluster("a")], [listener("l", rds("r", "/x/r.json"))], files) == [
        (
            "MC602",
            'on node "n1" RouteConfiguration "r" refers to cluster "gone", which is not there',
        )
    ]


def test_missing_endpoint_files_are_found() -> None:
    source = {"path_config_source": {"path": "/x/eds.json"}}
    one = cluster("a", eds_cluster_config={"service_name": "s", "eds_config": source})
    assert findings([one], []) == [
        (
            "MC602",
            'on node "n1" Cluster "a" refers to endpoints "s" in "/x/eds.json", which is not there',
        )
    ]


def test_a_missing_secret_is_found() -> None:
    one = cluster("a", tls={"tls_certificate_sds_secret_configs": [{"name": "cert"}]})
    assert findings([one], []) == [
        ("MC602", 'on node "n1" Cluster "a" refers to secret "cert", which is not there')
    ]


def test_two_listeners_with_one_address_are_found() -> None:
    listeners = [listener("l1", {"cluster": "a"}), listener("l2", {"cluster": "a"})]
    assert findings([cluster("a")], listeners) == [
        (
            "MC603",
            'on node "n1" listeners "l1" and "l2" have the same address 10.0.0.1 port 80',
        )
    ]


def test_a_cluster_that_the_bootstrap_hides_is_found() -> None:
    bootstrap = {"static_resources": {"clusters": [{"name": "a"}]}}
    assert findings([cluster("a")], [], bootstrap=bootstrap) == [
        (
            "MC604",
            (
                'on node "n1" cluster "a" has the name of one in the bootstrap, '
                "and Envoy would silently use that one"
            ),
        )
    ]
