"""Which policy value holds for a call: layers, dropped fields, own copies, refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from meshc.pipeline import BuildOptions, build
from meshc.plan.match import Layer, bind_policies, layer_origin, overridden_scopes, policy_layers
from meshc.spec.fields import Duration
from meshc.spec.policies import POLICY_SPECS
from meshc.spec.sizes import Size
from meshc.spec.slices import Scope, Side
from tests.model.reading import calls, good, host, linked, service, write
from tests.plan.calling import app_and_call, mesh_of

if TYPE_CHECKING:
    from pathlib import Path

    from meshc.model.mesh import Mesh, Upstream

CLUSTER, ACTION, PROXY = Scope.CLUSTER, Scope.ACTION, Scope.PROXY

_OUTLIERS = {
    "enabled": True,
    "consecutive_failures": 2,
    "ejection_time": "30s",
    "max_ejection_time": "120s",
    "max_ejected_percent": 50,
}


def bound(mesh: Mesh) -> dict[str, dict[str, Any]]:
    """Policies of the call from front to app, without what is not said."""
    app, call = app_and_call(mesh)
    return {
        binding.key: {
            name: str(value) if isinstance(value, Duration) else value
            for name, value in binding.value
            if value is not None
        }
        for binding in bind_policies(mesh, app, call.overrides, Side.CALLER)
    }


# Precedence.


def test_without_a_word_meshc_s_defaults_hold(tmp_path: Path) -> None:
    assert bound(mesh_of(tmp_path)) == {
        "timeouts": {"request": "15s", "idle": "300s", "web_socket": "3600s"},
        "retries": {
            "attempts": 4,
            "on": ("connect-failure", "refused-stream", "reset-before-request"),
            "on_idempotent": ("reset",),
            "backoff": "1ms",
            "budget": "none",
            "body_buffer": Size(16_777_216),
        },
        "circuitBreakers": {
            "max_connections": 1_024,
            "max_pending_requests": 1_024,
            "max_requests": 1_024,
        },
        "loadBalancing": {"policy": "roundRobin"},
        "outlierDetection": _OUTLIERS,
        "healthChecks": {},
    }


def test_policies_are_bound_in_the_order_of_the_registry(tmp_path: Path) -> None:
    mesh = mesh_of(tmp_path)

    keys = [
        binding.key for binding in bind_policies(mesh, app_and_call(mesh)[0], None, Side.CALLER)
    ]

    assert keys == list(POLICY_SPECS)[:-1], "inbound is for the called side"


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ((), "15s"),
        (("settings",), "1s"),
        (("settings", "called"), "2s"),
        (("settings", "called", "caller"), "3s"),
        (("called",), "2s"),
        (("caller",), "3s"),
        (("settings", "caller"), "3s"),
    ],
)
def test_the_later_layer_has_the_last_word(
    tmp_path: Path, layers: tuple[str, ...], expected: str
) -> None:
    said = {
        "settings": "defaults: {timeouts: {request: 1s}}\n",
        "called": "timeouts: {request: 2s}\n",
        "caller": "  timeouts: {request: 3s}\n",
    }

    mesh = mesh_of(tmp_path, **{layer: said[layer] for layer in layers})

    assert bound(mesh)["timeouts"]["request"] == expected


def test_layers_are_merged_field_by_field(tmp_path: Path) -> None:
    mesh = mesh_of(
        tmp_path,
        settings="defaults: {retries: {attempts: 1}}\n",
        called="retries: {on: [5xx]}\n",
        caller="  retries: {backoff: 5ms}\n",
    )

    assert bound(mesh)["retries"] == {
        "attempts": 1,
        "on": ("5xx",),
        "on_idempotent": ("reset",),
        "backoff": "5ms",
        "budget": 20,
        "body_buffer": Size(16_777_216),
    }


def test_the_protocol_stands_between_meshc_and_the_mesh(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    plain = mesh_of(tmp_path / "a", protocol="GRPC")
    told = mesh_of(
        tmp_path / "b", protocol="GRPC", settings="defaults: {timeouts: {request: 9s}}\n"
    )

    assert bound(plain)["timeouts"]["request"] == "0s"
    assert bound(told)["timeouts"]["request"] == "9s"


def test_other_callers_do_not_see_an_override(tmp_path: Path) -> None:
    mesh = mesh_of(tmp_path, caller="  timeouts: {request: 3s}\n")
    app, _ = app_and_call(mesh)

    shared = {binding.key: binding.value for binding in bind_policies(mesh, app, None, Side.CALLER)}

    assert str(shared["timeouts"].request) == "15s"  # type: ignore[attr-defined]


# What a protocol has no use for.


def test_fields_that_bytes_cannot_have_are_dropped(tmp_path: Path) -> None:
    mesh = mesh_of(
        tmp_path,
        protocol="TCP",
        settings="defaults:\n  timeouts: {connect: 2s, idle: 1m}\n"
        "  circuitBreakers: {maxConnections: 5}\n",
    )

    assert bound(mesh) == {
        "timeouts": {"connect": "2s", "idle": "60s"},
        "retries": {"attempts": 6, "backoff": "25ms"},
        "circuitBreakers": {"max_connections": 5, "max_pending_requests": 5},
        "loadBalancing": {"policy": "roundRobin"},
        "outlierDetection": _OUTLIERS,
        "healthChecks": {},
    }


def test_defaults_of_the_mesh_pass_by_services_that_cannot_have_them(tmp_path: Path) -> None:
    texts = {
        "app.yaml": service(host("app1")),
        "db.yaml": service(host("db1", "10.0.0.9"), protocol="TCP"),
        "front.yaml": service(host("front1", "10.0.0.2"), more=calls("app", "db")),
        "mesh.yaml": "defaults: {retries: {attempts: 5, perTryTimeout: 1s}, "
        "timeouts: {request: 2s}, circuitBreakers: {maxRetries: 1}}\n",
    }

    mesh = good(tmp_path, texts)

    db = {str(name): found for name, found in mesh.services.items()}["db"]
    values = {binding.key: binding.value for binding in bind_policies(mesh, db, None, Side.CALLER)}
    assert set(values) == {
        "timeouts",
        "retries",
        "circuitBreakers",
        "loadBalancing",
        "outlierDetection",
        "healthChecks",
    }
    assert values["timeouts"].model_dump()["request"] is None
    assert values["retries"].model_dump(exclude_none=True) == {
        "attempts": 5,
        "backoff": Duration(25),
    }
    assert values["circuitBreakers"].model_dump()["max_retries"] is None


# A key without a value.


def test_a_key_without_a_value_says_nothing(tmp_path: Path) -> None:
    mesh = mesh_of(
        tmp_path,
        settings="defaults: {timeouts: {request: 1s}}\n",
        called="timeouts: {request: null}\nloadBalancing: {policy: }\nretries:\n",
        caller="  timeouts: {idle: }\n  circuitBreakers: {maxConnections: null}\n",
    )

    assert bound(mesh)["timeouts"] == {
        "request": "1s",
        "idle": "300s",
        "web_socket": "3600s",
    }
    assert bound(mesh)["loadBalancing"] == {"policy": "roundRobin"}
    assert overridden_scopes(app_and_call(mesh)[0], app_and_call(mesh)[1].overrides) == frozenset()


def test_a_key_without_a_value_is_no_policy_that_the_protocol_cannot_have(tmp_path: Path) -> None:
    mesh_of(tmp_path, protocol="TCP", called="timeouts: {request: null}\n")


def test_a_mesh_with_keys_without_values_builds(tmp_path: Path) -> None:
    texts = {
        "app.yaml": service(
            host("app1"),
            more="loadBalancing: {policy: null}\ncircuitBreakers: {maxConnections: null}\n"
            "timeouts: {request: null, idle: null}\nretries: {on: null, attempts: null}\n",
        ),
        "front.yaml": service(
            host("front1", "10.0.0.2"), more=calls("app", more="  loadBalancing: {policy: null}\n")
        ),
    }

    result = build(write(tmp_path / "specs", texts), BuildOptions(out=tmp_path / "out"))

    assert result.diagnostics == ()


# Layers, as explain shows them.


def test_each_layer_says_only_what_was_written_there(tmp_path: Path) -> None:
    mesh = mesh_of(
        tmp_path,
        protocol="GRPC",
        settings="defaults: {timeouts: {connect: 1s}}\n",
        caller="  timeouts: {idle: 2s}\n",
    )
    app, call = app_and_call(mesh)

    found = [
        (layer, {name: str(value) for name, value in values.items()})
        for layer, values in policy_layers(POLICY_SPECS["timeouts"], mesh, app, call.overrides)
    ]

    assert found[2:] == [(Layer.MESH, {"connect": "1s"}), (Layer.CALLER, {"idle": "2s"})]
    assert found[1][0] is Layer.PROTOCOL
    assert found[1][1]["request"] == "0s"
    assert found[0] == (
        Layer.BUILT_IN,
        {"connect": "None", "request": "15s", "idle": "300s"},
    )


def test_a_layer_has_a_place_unless_nobody_wrote_it(tmp_path: Path) -> None:
    mesh = mesh_of(tmp_path)
    app, call = app_and_call(mesh)

    def place(layer: Layer, caller: Upstream | None) -> str | None:
        origin = layer_origin(layer, mesh, app, caller)
        return None if origin is None else str(origin.span)

    assert [place(layer, call) for layer in Layer] == [
        None,
        None,
        "mesh.yaml:1:1",
        "app.yaml:1:1",
        "front.yaml:7:3",
    ]
    assert place(Layer.CALLER, None) is None


def test_a_mesh_without_settings_has_no_place_for_them(tmp_path: Path) -> None:
    mesh = good(tmp_path, {"app.yaml": service(host("app1"))})
    (app,) = mesh.services.values()

    assert layer_origin(Layer.MESH, mesh, app, None) is None


# Own copies.


@pytest.mark.parametrize(
    ("protocol", "override", "expected"),
    [
        ("HTTP", "", frozenset()),
        ("HTTP", "  timeouts: {}\n", frozenset()),
        ("HTTP", "  timeouts: {connect: 1s}\n", frozenset({CLUSTER})),
        ("HTTP", "  timeouts: {request: 1s}\n", frozenset({ACTION})),
        ("HTTP", "  timeouts: {idle: 1s}\n", frozenset({ACTION, PROXY})),
        ("HTTP", "  retries: {attempts: 0}\n", frozenset({ACTION, PROXY})),
        ("HTTP", "  retries: {on: [5xx]}\n", frozenset({CLUSTER, ACTION})),
        ("HTTP", "  circuitBreakers: {maxRetries: 1}\n", frozenset({CLUSTER})),
        ("HTTP", "  loadBalancing: {policy: random}\n", frozenset({CLUSTER, ACTION, PROXY})),
        ("HTTP", "  loadBalancing: {choiceCount: 5}\n", frozenset({CLUSTER})),
        (
            "HTTP",
            "  timeouts: {connect: 1s}\n  retries: {perTryTimeout: 5ms}\n",
            frozenset({CLUSTER, ACTION}),
        ),
        ("TCP", "  timeouts: {idle: 1s}\n", frozenset({ACTION, PROXY})),
        ("TCP", "  circuitBreakers: {maxConnections: 1}\n", frozenset({CLUSTER})),
    ],
)
def test_an_override_says_which_messages_the_caller_needs_for_itself(
    tmp_path: Path, protocol: str, override: str, expected: frozenset[Scope]
) -> None:
    app, call = app_and_call(mesh_of(tmp_path, protocol=protocol, caller=override))

    assert overridden_scopes(app, call.overrides) == expected


def test_an_override_that_the_protocol_has_no_use_for_changes_nothing(tmp_path: Path) -> None:
    caller = "  retries: {perTryTimeout: 1s}\n  timeouts: {request: 1s}\n"
    mesh, _ = linked(
        tmp_path,
        {
            "app.yaml": service(host("app1"), protocol="TCP"),
            "front.yaml": service(host("front1", "10.0.0.2"), more=calls("app", more=caller)),
        },
    )
    app, call = app_and_call(mesh)

    assert overridden_scopes(app, call.overrides) == frozenset()


# Refusals.
