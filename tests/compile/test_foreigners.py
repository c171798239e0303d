"""What hosts outside the mesh are told, and what is none of their business."""

from __future__ import annotations

from typing import Any

import pytest

from tests.slices import OUTSIDE, compiled


def _hostname(host: str, port: int, protocol: str = "HTTP") -> str | None:
    hosts = f"hosts: [{{name: out1, externalAddr: {{host: {host}, port: {port}}}}}]"
    (group,) = compiled(called=hosts, protocol=protocol).cluster()["load_assignment"]["endpoints"]
    found: str | None = group["lb_endpoints"][0]["endpoint"].get("hostname")
    return found


@pytest.mark.parametrize(
    ("port", "expected"), [(80, "api.example.com"), (8080, "api.example.com:8080")]
)
def test_a_server_is_called_by_its_name_as_clients_write_it(port: int, expected: str) -> None:
    assert _hostname("api.example.com", port) == expected


def _virtual_host(result: Any) -> dict[str, Any]:
    (resource,) = result.files["services/api/rds-outbound.json"]["resources"]
    (found,) = resource["virtual_hosts"]
    host: dict[str, Any] = found
    return host


def test_what_envoys_tell_each_other_stays_in_the_mesh() -> None:
    inside, outside = compiled(), compiled(called=OUTSIDE)

    assert "request_headers_to_remove" not in _virtual_host(inside)
    removed = _virtual_host(outside)["request_headers_to_remove"]
    assert {"x-envoy-original-path", "x-envoy-decorator-operation"} < set(removed)
    assert all(name.startswith("x-envoy-") for name in removed)
    router = outside.network_filter()["http_filters"][-1]["typed_config"]
    assert router["suppress_envoy_headers"] is True
    for manager in (inside.network_filter(), inside.network_filter("inbound/api", "api1")):
        assert "suppress_envoy_headers" not in manager["http_filters"][-1]["typed_config"]
