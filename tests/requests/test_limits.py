"""What is written is what holds: no limit that no document knows stands in the way."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import TYPE_CHECKING

import pytest

from tests.requests.running import Places, Running

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.envoy

_NETWORK = "127.0.51"
_MANY = 1_200
_REQUEST = b"GET /slow?1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def _answers(places: Places, data: bytes, *, pause: float = 0) -> list[bytes]:
    """Open many connections at once, say something on each, and read what each gets first."""
    with contextlib.ExitStack() as stack:
        streams = []
        for _ in range(_MANY):
            streams.append(stack.enter_context(socket.create_connection(places.egress, 20)))
            streams[-1].sendall(data)
            time.sleep(pause)
        return [stream.recv(100) for stream in streams]


def test_more_requests_than_envoys_1024_reach_an_application(tmp_path: Path) -> None:
    places = Places(_NETWORK, hosts=1)
    limits = "{maxConnections: 5000, maxPendingRequests: 5000, maxRequests: 5000}"
    with Running(tmp_path, places.specs(f"circuitBreakers: {limits}\n")) as mesh:
        mesh.start_application("http", places.applications[0], "app1")

        answers = _answers(places, _REQUEST)

    assert {answer.split()[1] for answer in answers} == {b"200"}


def test_more_tcp_connections_than_envoys_1024_are_opened_in_one_burst(tmp_path: Path) -> None:
    places = Places(_NETWORK, hosts=1, protocol="TCP")
    with Running(tmp_path, places.specs("circuitBreakers: {maxConnections: 5000}\n")) as mesh:
        mesh.start_application("tcp", places.applications[0], "app1")

        answers = _answers(places, b"hello\n")

    assert set(answers) == {b"app1\n"}


def test_the_called_side_refuses_what_its_own_limit_does_not_allow(tmp_path: Path) -> None:
    places = Places(_NETWORK, hosts=1)
    with Running(tmp_path, places.specs("inbound: {maxRequests: 5}\n")) as mesh:
        mesh.start_application("http", places.applications[0], "app1")
        with contextlib.ExitStack() as stack:
            streams = [
                stack.enter_context(socket.create_connection(places.egress, 20)) for _ in range(8)
            ]
            for stream in streams:
                stream.sendall(_REQUEST)
            statuses = [stream.recv(100).split()[1] for stream in streams]
        ejected = mesh.admin("c1").gauges("outlier_detection.ejections_active$")

    assert sorted(statuses) == [b"200"] * 5 + [b"503"] * 3
    assert set(ejected.values()) == {0}
