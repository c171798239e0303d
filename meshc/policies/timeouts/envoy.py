"""Timeouts in Envoy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshc.spec.slices import Scope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshc.compile.interfaces import Edit, Site
    from meshc.compile.resources import Message
    from meshc.policies.timeouts.spec import TimeoutsSpec


def _cluster(value: TimeoutsSpec, cluster: Message, _site: Site) -> None:
    if value.connect is not None:
        cluster["connect_timeout"] = value.connect.envoy


def _action(value: TimeoutsSpec, action: Message, _site: Site) -> None:
    # Both are always written: unstated, Envoy ends requests after 15 s and nobody sees why.
    if value.request is not None:
        action["timeout"] = value.request.envoy
        if not value.request.milliseconds:
            # Without a limit of ours the deadline that a gRPC call carries holds.
            action["max_stream_duration"] = {"grpc_timeout_header_max": "0s"}
    if value.idle is not None:
        action["idle_timeout"] = value.idle.envoy


def _websocket_action(value: TimeoutsSpec, action: Message, _site: Site) -> None:
    if value.web_socket is not None:
        action["idle_timeout"] = value.web_socket.envoy


def _proxy(value: TimeoutsSpec, proxy: Message, _site: Site) -> None:
    if value.idle is not None:
        proxy["idle_timeout"] = value.idle.envoy


EDITS: Mapping[Scope, Edit] = {
    Scope.CLUSTER: _cluster,
    Scope.ACTION: _action,
    Scope.WEBSOCKET_ACTION: _websocket_action,
    Scope.PROXY: _proxy,
}
