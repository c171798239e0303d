"""The sample application and the relay, as they run in their containers."""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.delivery.live import free_ports, until, upstream
from tests.docker.program import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

COMPOSE = ROOT / "deploy" / "compose"
HOST = "127.0.47.1"


@contextlib.contextmanager
def running(script: str, *arguments: str) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-I", str(COMPOSE / script), *arguments])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def get(port: int, **fields: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    try:
        connection.request("GET", "/", headers=fields)
        answer = connection.getresponse()
        return answer.status, answer.read().decode().strip()
    finally:
        connection.close()


def answers(port: int) -> bool:
    with contextlib.suppress(OSError):
        get(port)
        return True
    return False


@pytest.fixture
def ports() -> list[int]:
    return free_ports(HOST, 2)


def test_an_application_says_who_it_is_and_who_answered_it(ports: list[int]) -> None:
    called, caller = ports
    with (
        running("application.py", "myapp1", f"{HOST}:{called}"),
        running("application.py", "front1", f"{HOST}:{caller}", f"http://{HOST}:{called}/"),
    ):
        until(lambda: answers(called) and answers(caller), "both applications")

        assert get(called) == (200, "myapp1")
        assert get(caller) == (200, "front1: myapp1 answers")


def test_an_application_whose_call_fails_says_so(ports: list[int]) -> None:
    nobody, caller = ports
    with running("application.py", "front1", f"{HOST}:{caller}", f"http://{HOST}:{nobody}/"):
        until(lambda: answers(caller), "the application")

        status, text = get(caller)

    assert status == 502
    assert text.startswith(f"front1: http://{HOST}:{nobody}/: ")


def test_a_relay_hands_on_what_is_served_elsewhere(ports: list[int]) -> None:
    address, _ = ports
    with (
        upstream(HOST, "metrics") as (host, port),
        running("relay.py", f"{HOST}:{address}", f"{host}:{port}"),
    ):
        until(lambda: answers(address), "the relay")
        assert get(address) == (200, "metrics")


def test_a_relay_goes_on_when_nobody_serves(ports: list[int]) -> None:
    address, nobody = ports
    with running("relay.py", f"{HOST}:{address}", f"{HOST}:{nobody}"):
        for _ in range(2):
            until(lambda: refuses(address), "an end of the connection without an answer")


def refuses(port: int) -> bool:
    try:
        get(port)
    except (http.client.RemoteDisconnected, ConnectionResetError):
        return True
    except OSError:
        return False  # it does not listen yet
    return False
