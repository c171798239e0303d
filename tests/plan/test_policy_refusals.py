"""Policies that a protocol, a mesh or a caller cannot have, and those that nobody uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.model.reading import calls, good, host, lines, linked, service
from tests.plan.calling import mesh_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("policy", "expected", "hint"),
    [
        (
            "retries: {perTryTimeout: 1s}",
            (
                'MC501 app.yaml:6:11: "perTryTimeout" needs requests that a route can treat '
                'one by one, but service "app" speaks TCP'
            ),
            'remove it; "perTryTimeout" is for HTTP and HTTP2 and GRPC',
        ),
        (
            "timeouts: {idle: 1s, request: 1s}",
            (
                'MC501 app.yaml:6:22: "request" needs requests that a route can treat one by one, '
                'but service "app" speaks TCP'
            ),
            'remove it; "request" is for HTTP and HTTP2 and GRPC',
        ),
        (
            "circuitBreakers: {maxRequests: 1}",
            (
                'MC501 app.yaml:6:19: "maxRequests" needs requests that a route can treat '
                'one by one, but service "app" speaks TCP'
            ),
            'remove it; "maxRequests" is for HTTP and HTTP2 and GRPC',
        ),
    ],
)
def test_a_policy_that_bytes_cannot_have_is_reported_at_its_key(
    tmp_path: Path, policy: str, expected: str, hint: str
) -> None:
    _, found = linked(
        tmp_path, {"app.yaml": service(host("app1"), protocol="TCP", more=f"{policy}\n")}
    )

    assert lines(found) == [expected]
    assert found[0].hint == hint


def test_a_callers_policy_is_judged_by_the_called_service(tmp_path: Path) -> None:
    caller = "  retries: {perTryTimeout: 1s}\n"
    _, found = linked(
        tmp_path,
        {
            "app.yaml": service(host("app1"), protocol="TCP"),
            "front.yaml": service(host("front1", "10.0.0.2"), more=calls("app", more=caller)),
        },
    )

    assert lines(found) == [
        (
            'MC501 front.yaml:9:13: "perTryTimeout" needs requests that a route can treat one by '
            'one, but service "app" speaks TCP'
        )
    ]


@pytest.mark.parametrize("policy", ["ringHash", "maglev"])
def test_hashing_without_a_word_on_what_is_reported_at_the_policy(
    tmp_path: Path, policy: str
) -> None:
    more = f"loadBalancing: {{policy: {policy}}}\n"

    _, found = linked(tmp_path, {"app.yaml": service(host("app1"), more=more)})

    assert lines(found) == [
        f"MC502 app.yaml:6:25: {policy} needs hashOn, or all requests go to one host"
    ]


def test_hashing_may_be_put_together_from_several_layers(tmp_path: Path) -> None:
    mesh_of(
        tmp_path,
        settings="defaults: {loadBalancing: {hashOn: {header: x-user}}}\n",
        called="loadBalancing: {policy: maglev}\n",
    )


def test_a_caller_that_hashes_on_nothing_is_reported_at_the_caller(tmp_path: Path) -> None:
    caller = "  loadBalancing: {policy: maglev}\n"
    texts = {
        "app.yaml": service(host("app1")),
        "front.yaml": service(host("front1", "10.0.0.2"), more=calls("app", more=caller)),
    }

    _, found = linked(tmp_path, texts)

    assert [(one.code, str(one.span)) for one in found] == [("MC502", "front.yaml:9:27")]


def test_bytes_have_nothing_but_an_address_to_be_hashed_on(tmp_path: Path) -> None:
    more = "loadBalancing: {policy: maglev, hashOn: {header: a}}\n"

    _, found = linked(tmp_path, {"app.yaml": service(host("app1"), protocol="TCP", more=more)})

    assert lines(found) == [
        "MC502 app.yaml:6:41: connections have no headers and cookies to be hashed on"
    ]


@pytest.mark.parametrize("hash_on", ["", ", hashOn: {sourceIp: true}"])
def test_bytes_are_hashed_on_the_address_of_the_client(tmp_path: Path, hash_on: str) -> None:
    more = f"loadBalancing: {{policy: ringHash{hash_on}}}\n"

    good(tmp_path, {"app.yaml": service(host("app1"), protocol="TCP", more=more)})


def test_a_header_in_the_defaults_of_the_mesh_passes_by_services_without_requests(
    tmp_path: Path,
) -> None:
    mesh_of(
        tmp_path,
        protocol="TCP",
        settings="defaults: {loadBalancing: {policy: maglev, hashOn: {header: x-user}}}\n",
    )


# Parts of mesh.yaml that nothing uses.


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ("defaults: {retries: {perTryTimeout: 1s}}\n", "1:22"),
        ("defaults:\n  timeouts: {idle: 1s, request: 1s}\n", "2:24"),
        ("name: shop\ntracing: {zipkin: {host: z}}\n", "2:1"),
    ],
)
def test_settings_without_effect_give_a_warning_at_their_key(
    tmp_path: Path, settings: str, place: str
) -> None:
    texts = {
        "app.yaml": service(host("app1"), protocol="TCP"),
        "front.yaml": service(host("front1", "10.0.0.2"), protocol="TCP", more=calls("app")),
        "mesh.yaml": settings,
    }

    _, found = linked(tmp_path, texts)

    assert [(one.code, str(one.span)) for one in found] == [("MC314", f"mesh.yaml:{place}")]
    assert found[0].hint == "remove it, or wait for the service that needs it"


def test_the_words_of_a_setting_without_effect_say_why(tmp_path: Path) -> None:
    texts = {
        "app.yaml": service(host("app1"), protocol="TCP"),
        "mesh.yaml": "tracing: {zipkin: {host: z}}\ndefaults: {retries: {perTryTimeout: 1s}}\n",
    }

    _, found = linked(tmp_path, texts)

    assert [one.message for one in found] == [
        '"tracing" in the mesh settings has no effect: no service of this mesh has requests',
        '"perTryTimeout" in the mesh settings has no effect: no dependency of this mesh can use it',
    ]


def test_settings_that_somebody_uses_give_no_warning(tmp_path: Path) -> None:
    mesh_of(
        tmp_path,
        settings="defaults: {retries: {perTryTimeout: 1s}}\ntracing: {zipkin: {host: z}}\n",
    )


def test_beside_a_mistake_nobody_is_told_that_a_setting_is_unused(tmp_path: Path) -> None:
    """Whoever would use it may be what is wrong."""
    texts = {
        "app.yaml": service(host("app1"), protocol="TCP", more=calls("nope")),
        "mesh.yaml": "defaults: {retries: {perTryTimeout: 1s}}\n",
    }

    _, found = linked(tmp_path, texts)

    assert [one.code for one in found] == ["MC306"]


def test_a_mesh_without_services_is_not_told_that_its_settings_are_unused(tmp_path: Path) -> None:
    _, found = linked(tmp_path, {"mesh.yaml": "tracing: {zipkin: {host: z}}\n"})

    assert [one.code for one in found] == ["MC316"]
