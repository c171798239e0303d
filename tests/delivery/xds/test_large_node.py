"""A real Envoy with many dependencies: its requests are large, and it comes back all the same."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from meshc.delivery.xds.bootstrap import Subscribing
from meshc.delivery.xds.content.rewrite import Variant, config_source
from tests.delivery.live import get, until, upstream
from tests.delivery.xds.live import HOST, envoy_on, server_of
from tests.delivery.xds.meshes import make_bundle
from tests.delivery.xds.served import free_port

if TYPE_CHECKING:
    from pathlib import Path

_DEPENDENCIES = 200
_PATIENCE_S = 60.0


def _mesh(folder: Path, ports: list[int], behind: tuple[str, int]) -> Path:
    admin, ingress, own, *egress = ports
    names = [f"a-service-with-a-name-{number:03}" for number in range(_DEPENDENCIES)]
    dependencies = "".join(
        f"- {{name: {name}, egressPort: {port}}}\n"
        for name, port in zip(names, egress, strict=True)
    )
    host, port = behind
    documents = {
        name: f"protocol: HTTP\nhosts:\n- {{name: {name}, externalAddr: {{host: {host}, "
        f"port: {port}}}}}\n"
        for name in names
    }
    documents["mesh"] = (
        f"accessLog: {{enabled: false}}\nadmin: {{host: {HOST}, port: {admin}}}\n"
        "limits: {fileSubscriptions: 1000}\n"
    )
    documents["front"] = (
        "protocol: HTTP\nhosts:\n- name: front1\n"
        f"  ingressAddr: {{host: {HOST}, port: {ingress}}}\n"
        f"  substanceAddr: {{host: {HOST}, port: {own}}}\n"
        f"  egressHost: {HOST}\ndependentServices:\n{dependencies}"
    )
    return make_bundle(folder / "mesh", documents)


def _answers(address: tuple[str, int]) -> bool:
    try:
        return get(address) == "one"
    except OSError:
        return False


@pytest.mark.envoy
@pytest.mark.parametrize("subscribing", [Subscribing.ADS, Subscribing.DELTA_ADS])
def test_a_node_with_many_dependencies_comes_back(tmp_path: Path, subscribing: Subscribing) -> None:
    # The address is this process's own, and no connection begins at such ports.
    ports = list(range(10_000, 10_000 + _DEPENDENCIES + 3))
    at = free_port()
    with upstream(HOST, "one") as one, contextlib.ExitStack() as stack:
        bundle = _mesh(tmp_path, ports, one)
        first = stack.enter_context(contextlib.ExitStack())
        first.enter_context(server_of(bundle, port=at))
        stack.enter_context(
            envoy_on(tmp_path / "envoy", bundle, (HOST, ports[0]), at, subscribing=subscribing)
        )
        until(lambda: _answers((HOST, ports[-1])), "an answer", _PATIENCE_S)
        first.close()

        new = stack.enter_context(server_of(bundle, port=at))

        def is_back() -> bool:
            streams = new.status()["streams"]
            return len(streams) == 1 and len(streams[0]["types"]) == 4 and streams[0]["is_settled"]

        until(is_back, "the Envoy with all it has", _PATIENCE_S)
        (stream,) = new.status()["streams"]
        assert stream["responses"] == 0


@pytest.mark.parametrize("variant", [Variant.GRPC, Variant.DELTA_GRPC])
def test_an_envoy_says_who_it_is_once_on_a_stream(variant: Variant) -> None:
    source = config_source(variant)["api_config_source"]

    assert source["set_node_on_first_message_only"] is True
