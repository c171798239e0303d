"""Why a resource is on a node, written out for a small mesh."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from meshc.diagnostics.errors import UnknownNameError
from meshc.explain import Explanation, bootstrap_of, explain_node
from tests.model.reading import calls, host, service, write

if TYPE_CHECKING:
    from pathlib import Path

APP = service(
    host("app1"),
    host("app2", "10.0.0.2"),
    more="timeouts: {request: 5s}\nloadBalancing: {policy: maglev, hashOn: {header: x-user}}\n",
)
STORE = service(host("store1", "10.0.0.3"), protocol="TCP")
FRONT = service(
    host("front1", "10.0.0.4"),
    more="""\
dependentServices:
- name: app
  egressPort: 9001
  retries: {statusCodes: [503, 504]}
  circuitBreakers:
    maxRequests: 7
- {name: store, egressPort: 9002}
""",
)
MESH = """\
connectTimeout: 2s
defaults:
  timeouts: {idle: 9s}
tracing:
  zipkin: {host: zipkin.example.com}
"""
TEXTS = {"app.yaml": APP, "team/store.yaml": STORE, "front.yaml": FRONT, "mesh.yaml": MESH}


def shown(entry: Explanation) -> list[str]:
    """One explanation as lines: what it is, where it is from, what shaped it."""
    lines = [f"{entry.kind} {entry.name}: {entry.reason}", f"  from {entry.span}"]
    lines += [f"  {what}: {span}" for what, span in entry.places]
    lines += [
        f"  {setting.name} = {setting.value}: {setting.layer}"
        + (f" ({setting.span})" if setting.span else "")
        for setting in entry.settings
    ]
    return lines


def explained(folder: Path, node: str, resource: str | None = None) -> list[str]:
    result, found = explain_node(write(folder, TEXTS), node, resource)
    assert not result.has_errors
    return [line for entry in found for line in shown(entry)]


def test_everything_on_a_node_is_explained_in_the_order_in_which_a_request_meets_it(
    tmp_path: Path,
) -> None:
    assert (
        explained(tmp_path, "front1")
        == """\
listener inbound/front: accepts traffic for front at 10.0.0.4:80
  from front.yaml:3:3
listener outbound/app@front: takes the calls of front to app at 127.0.0.1:9001
  from front.yaml:7:3
listener outbound/store@front: takes the calls of front to store at 127.0.0.1:9002
  from front.yaml:12:3
  timeouts.idle = 9s: defaults of the mesh (mesh.yaml:3:14)
  retries.attempts = 6: default of meshc
  retries.backoff = 25ms: default of meshc
  loadBalancing.policy = roundRobin: default of meshc
routes inbound/front: sends every request for front to the application
  from front.yaml:1:1
routes outbound/app@front: sends every request for app to its hosts
  from front.yaml:7:3
  timeouts.idle = 9s: defaults of the mesh (mesh.yaml:3:14)
  timeouts.request = 5s: the called service (app.yaml:9:12)
  timeouts.webSocket = 3600s: default of meshc
  retries.attempts = 4: default of meshc
  retries.backoff = 25ms: default of meshc
  retries.bodyBuffer = 16MiB: default of meshc
  retries.on = connect-failure, refused-stream, reset-before-request: default of meshc
  retries.onIdempotent = reset: default of meshc
  retries.statusCodes = 503, 504: the caller's dependency (front.yaml:9:13)
  loadBalancing.hashOn = header: x-user: the called service (app.yaml:10:33)
  loadBalancing.policy = maglev: the called service (app.yaml:10:17)
cluster inbound/front: the application of front at 127.0.0.1:9000
  from front.yaml:3:3
  connectTimeout = 2s: mesh.yaml (mesh.yaml:1:1)
  inbound.idle = 1s: default of meshc
  inbound.maxConnections = none: default of meshc
  inbound.maxPendingRequests = none: default of meshc
  inbound.maxRequests = none: default of meshc
cluster outbound/app@front: the hosts of app, for front
  from front.yaml:7:3
  connectTimeout = 2s: mesh.yaml (mesh.yaml:1:1)
  retries.budget = 20: default of meshc
  retries.on = connect-failure, refused-stream, reset-before-request: default of meshc
  retries.onIdempotent = reset: default of meshc
  retries.statusCodes = 503, 504: the caller's dependency (front.yaml:9:13)
  circuitBreakers.maxConnections = 1024: default of meshc
  circuitBreakers.maxPendingRequests = 1024: default of meshc
  circuitBreakers.maxRequests = 7: the caller's dependency (front.yaml:11:5)
  loadBalancing.policy = maglev: the called service (app.yaml:10:17)
  outlierDetection.consecutiveFailures = 2: default of meshc
  outlierDetection.ejectionTime = 30s: default of meshc
  outlierDetection.enabled = true: default of meshc
  outlierDetection.maxEjectedPercent = 50: default of meshc
  outlierDetection.maxEjectionTime = 120s: default of meshc
cluster outbound/store: the hosts of store, for all callers on this node
  from team/store.yaml:1:1
  connectTimeout = 2s: mesh.yaml (mesh.yaml:1:1)
  circuitBreakers.maxConnections = 1024: default of meshc
  circuitBreakers.maxPendingRequests = 1024: default of meshc
  loadBalancing.policy = roundRobin: default of meshc
  outlierDetection.consecutiveFailures = 2: default of meshc
  outlierDetection.ejectionTime = 30s: default of meshc
  outlierDetection.enabled = true: default of meshc
  outlierDetection.maxEjectedPercent = 50: default of meshc
  outlierDetection.maxEjectionTime = 120s: default of meshc
cluster tracing/zipkin: the collector that takes the spans of every request
  from mesh.yaml:5:3
endpoints app: the hosts of app
  from app.yaml:1:1
  app1 at 10.0.0.1:80: app.yaml:3:3
  app2 at 10.0.0.2:80: app.yaml:6:3
endpoints store: the hosts of store
  from team/store.yaml:1:1
  store1 at 10.0.0.3:80: team/store.yaml:3:3
""".splitlines()
    )


def test_one_resource_is_explained_alone(tmp_path: Path) -> None:
    assert (
        explained(tmp_path, "app1", "inbound/app")
        == """\
listener inbound/app: accepts traffic for app at 10.0.0.1:80
  from app.yaml:3:3
routes inbound/app: sends every request for app to the application
  from app.yaml:1:1
cluster inbound/app: the application of app at 127.0.0.1:9000
  from app.yaml:3:3
  connectTimeout = 2s: mesh.yaml (mesh.yaml:1:1)
  inbound.idle = 1s: default of meshc
  inbound.maxConnections = none: default of meshc
  inbound.maxPendingRequests = none: default of meshc
  inbound.maxRequests = none: default of meshc
""".splitlines()
    )


def test_a_default_of_the_protocol_is_named_as_such(tmp_path: Path) -> None:
    texts = {
        "app.yaml": service(host("app1"), protocol="GRPC"),
        "front.yaml": service(host("front1", "10.0.0.4"), more=calls("app")),
    }

    _, found = explain_node(write(tmp_path, texts), "front1", "outbound/app")

    settings = [(setting.name, setting.value, setting.layer) for setting in found[0].settings]
    assert ("timeouts.request", "0s", "default of the protocol") in settings


def test_callers_that_share_routes_on_one_node_have_them_explained_once(tmp_path: Path) -> None:
    texts = {
        "app.yaml": service(host("app1")),
        "one.yaml": service(host("box", "10.0.0.4"), more=calls("app")),
        "two.yaml": service(
            host("box", "10.0.0.4", port=81, app=9005), more=calls("app", first_port=9100)
        ),
    }

    _, found = explain_node(write(tmp_path, texts), "box", "outbound/app")

    assert [entry.kind for entry in found] == ["routes", "cluster"]


@pytest.mark.parametrize(
    ("tracing", "name", "place"),
    [
        ("tracing:\n  zipkin: {host: z}\n", "tracing/zipkin", "mesh.yaml:2:3"),
        ("tracing:\n  openTelemetry: {host: o}\n", "tracing/opentelemetry", "mesh.yaml:2:3"),
    ],
)
def test_the_collector_of_spans_is_explained(
    tmp_path: Path, tracing: str, name: str, place: str
) -> None:
    texts = {"app.yaml": service(host("app1")), "mesh.yaml": tracing}

    _, found = explain_node(write(tmp_path, texts), "app1", name)

    assert [(entry.kind, str(entry.span)) for entry in found] == [("cluster", place)]


def test_a_node_without_requests_has_no_collector_of_spans(tmp_path: Path) -> None:
    write(tmp_path, TEXTS)

    with pytest.raises(UnknownNameError):
        explain_node(tmp_path, "store1", "tracing/zipkin")


def test_an_unknown_node_is_answered_with_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match='there is no node "front"') as raised:
        explain_node(write(tmp_path, TEXTS), "front", None)

    assert raised.value.hint == 'did you mean "front1"?'


def test_an_unknown_resource_is_answered_with_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(
        UnknownNameError, match='there is no resource on node app1 "inbound/ap"'
    ) as raised:
        explain_node(write(tmp_path, TEXTS), "app1", "inbound/ap")

    assert raised.value.hint == 'did you mean "inbound/app"?'


def test_broken_specs_are_reported_and_nothing_is_explained(tmp_path: Path) -> None:
    write(tmp_path, {**TEXTS, "app.yaml": "protocol: HTPP\n"})

    result, found = explain_node(tmp_path, "front1", None)

    assert [finding.code for finding in result.diagnostics] == ["MC204"]
    assert (result.has_errors, found) == (True, ())
    assert set(result.sources) == set(TEXTS)


def test_the_bootstrap_of_a_node_is_json(tmp_path: Path) -> None:
    result, text = bootstrap_of(write(tmp_path, TEXTS), "front1")

    assert not result.has_errors
    assert json.loads(text)["node"]["id"] == "front1"


def test_broken_specs_give_no_bootstrap(tmp_path: Path) -> None:
    result, text = bootstrap_of(write(tmp_path, {"app.yaml": "protocol: HTPP\n"}), "app1")

    assert (result.has_errors, text) == (True, "")


@pytest.mark.parametrize(
    ("panic", "whole"),
    [(40, "all of them where fewer than 40 % do"), (0, "all of them where none does")],
)
def test_endpoints_by_health_are_explained_with_their_rule(
    tmp_path: Path, panic: int, whole: str
) -> None:
    more = f"  health: {{from: consul, panicThreshold: {panic}}}\n- name: old\n  egressPort: 9009\n"
    more += "  from: consul\n  protocol: TCP\n  tags: [primary]\n"
    more += f"  health: {{from: consul, panicThreshold: {panic}}}\n"
    texts = {
        "app.yaml": service(host("app1")),
        "front.yaml": service(host("front1", "10.0.0.4"), more=calls("app") + more),
    }

    result, found = explain_node(write(tmp_path, texts), "front1", None)

    assert not result.has_errors
    assert [shown(one)[:3] for one in found if one.kind == "endpoints"] == [
        [
            f"endpoints app@front: the hosts of app, for front: those that pass in Consul, {whole}",
            "  from front.yaml:7:3",
            "  app1 at 10.0.0.1:80: app.yaml:3:3",
        ],
        [
            (
                "endpoints old@front: the hosts that Consul knows as old with primary, for front: "
                f"those that pass in Consul, {whole}"
            ),
            "  from front.yaml:10:3",
        ],
    ]


@pytest.mark.parametrize(
    ("timeouts", "said"),
    [
        ("", "  connectTimeout = 1s: default of meshc"),
        (
            "timeouts: {connect: 3s}\n",
            "  timeouts.connect = 3s: the called service (app.yaml:6:12)",
        ),
    ],
)
def test_a_cluster_says_how_long_a_connection_may_take(
    tmp_path: Path, timeouts: str, said: str
) -> None:
    texts = {
        "app.yaml": service(host("app1"), more=timeouts),
        "front.yaml": service(host("front1", "10.0.0.4"), more=calls("app")),
    }

    _, found = explain_node(write(tmp_path, texts), "front1", "outbound/app")

    lines = [line for entry in found if entry.kind == "cluster" for line in shown(entry)]
    assert [line for line in lines if "onnect =" in line or "onnectTimeout" in line] == [said]
