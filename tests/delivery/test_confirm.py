"""How Envoy's answer is read: the judgement, and an admin interface that cannot be trusted."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from meshc.delivery.agent.admin import AdminAddress, EnvoyAdmin, SubscriptionState
from meshc.delivery.agent.configuration import Subscription, address_of
from meshc.delivery.agent.confirm import Outcome, judge, judge_all
from meshc.delivery.errors import AdminError, DeliveryError, EnvoyGoneError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LDS = Subscription("listener_manager.lds.")


def state(
    version: str, attempt: int, success: int, rejected: int, failure: int
) -> SubscriptionState:
    return SubscriptionState(
        version=version, attempt=attempt, success=success, rejected=rejected, failure=failure
    )


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        pytest.param(state("new", 4, 4, 0, 0), Outcome.ACCEPTED, id="accepted"),
        pytest.param(state("old", 4, 3, 1, 0), Outcome.REJECTED, id="rejected, perhaps in part"),
        pytest.param(state("old", 4, 3, 0, 1), Outcome.FAILED, id="unreadable"),
        pytest.param(state("old", 3, 3, 0, 0), None, id="nothing moved"),
        pytest.param(state("old", 4, 3, 0, 0), None, id="being applied"),
        pytest.param(state("other", 4, 4, 0, 0), None, id="somebody else's version"),
        pytest.param(state("new", 1, 1, 0, 0), Outcome.ACCEPTED, id="restarted with it"),
        pytest.param(state("", 1, 0, 1, 0), Outcome.REJECTED, id="restarted and refused it"),
    ],
)
def test_an_outcome_is_told_from_the_counters(
    after: SubscriptionState, expected: Outcome | None
) -> None:
    assert judge(state("old", 3, 3, 0, 0), after, "new") is expected


def test_the_same_version_again_is_accepted_only_when_it_was_read_again() -> None:
    before = state("same", 3, 3, 0, 0)

    assert judge(before, before, "same") is None
    assert judge(before, state("same", 4, 4, 0, 0), "same") is Outcome.ACCEPTED
    assert judge(before, state("same", 4, 3, 1, 0), "same") is Outcome.REJECTED


def test_a_file_is_accepted_when_all_its_subscriptions_have_accepted_it() -> None:
    first, second = Subscription("cluster.a."), Subscription("cluster.b.")
    old, new = state("old", 1, 1, 0, 0), state("new", 2, 2, 0, 0)
    before = {first: old, second: old}

    assert judge_all(before, {first: new, second: old}, "new") is None
    assert judge_all(before, {first: new, second: new}, "new") is Outcome.ACCEPTED
    assert judge_all(before, {first: new, second: state("old", 2, 1, 1, 0)}, "new") is (
        Outcome.REJECTED
    )
    assert judge_all(before, {first: new}, "new") is Outcome.ACCEPTED
    assert judge_all(before, {}, "new") is None


class StubServer:
    """A server on loopback that answers every connection by a function of the test."""

    def __init__(self, answer: Callable[[socket.socket], None], place: socket.socket) -> None:
        self.socket = place
        self.questions: list[str] = []
        self._answer = answer
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                self.questions.append(connection.recv(65536).decode().split(" ")[1])
                try:
                    self._answer(connection)
                except OSError:
                    continue

    def close(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self._thread.join(5)


Respond = Callable[[socket.socket], None]
Stub = Callable[[Respond], tuple[EnvoyAdmin, StubServer]]


@pytest.fixture
def stub() -> Iterator[Stub]:
    servers: list[StubServer] = []

    def start(answer: Callable[[socket.socket], None]) -> tuple[EnvoyAdmin, StubServer]:
        server = StubServer(answer, socket.create_server(("127.0.0.1", 0)))
        servers.append(server)
        host, port = server.socket.getsockname()
        return EnvoyAdmin(AdminAddress(host, port), deadline_s=0.3), server

    yield start
    for server in servers:
        server.close()


def saying(value: object, status: str = "200 OK") -> Callable[[socket.socket], None]:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()

    def answer(connection: socket.socket) -> None:
        head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)

    return answer


def stats(**values: object) -> object:
    return {"stats": [{"name": name, "value": value} for name, value in values.items()]}


def test_when_an_envoy_started_follows_from_its_answer(stub: Stub) -> None:
    admin, _ = stub(
        saying(
            {
                "node": {"id": "n1"},
                "command_line_options": {"drain_time": "1s"},
                "uptime_current_epoch": "100s",
            }
        )
    )
    before = int(time.time())

    first, last = admin.server_info().started

    assert before - 100 <= first <= last <= int(time.time()) - 100


def test_versions_and_counters_are_read_together(stub: Stub) -> None:
    numbers = {
        f"{LDS}update_{counter}": number
        for counter, number in (("attempt", 4), ("success", 2), ("rejected", 1), ("failure", 1))
    }
    admin, server = stub(saying(stats(**numbers, **{f"{LDS}version_text": "v2"})))

    assert admin.states([LDS, Subscription("cluster.gone.")]) == {LDS: state("v2", 4, 2, 1, 1)}
    assert len(server.questions) == 1


def test_reasons_are_one_printable_line_each_and_told_once(stub: Stub) -> None:
    details = "cannot bind '127.0.0.1:80':\n\x1b[31m Permission   denied"
    entry = {"error_state": {"details": details}}
    admin, _ = stub(saying({"configs": [{"name": "l", **entry}, entry, {"name": "ok"}]}))

    assert admin.listener_errors() == {"l": "cannot bind '127.0.0.1:80': [31m Permission denied"}


def test_listeners_are_told_with_all_their_addresses(stub: Stub) -> None:
    def at(address: str, port: int) -> dict[str, object]:
        return {"socket_address": {"address": address, "port_value": port}}

    pipe = {"pipe": {"path": "/run/x"}}
    six = {"name": "six", "local_address": at("::1", 2)}
    admin, _ = stub(
        saying(
            {
                "listener_statuses": [
                    {"name": "four", "local_address": at("127.0.0.1", 1)},
                    six | {"additional_local_addresses": [at("::1", 3), pipe]},
                ]
            }
        )
    )

    assert admin.listeners() == {
        "four": {address_of(at("127.0.0.1", 1))},
        "six": {address_of(at("0:0::1", 2)), address_of(at("::1", 3)), address_of(pipe)},
    }


@pytest.mark.parametrize("value", [[], {"listener_statuses": 5}, {"listener_statuses": [{}]}])
def test_listeners_that_are_none_are_an_error(stub: Stub, value: object) -> None:
    admin, _ = stub(saying(value))

    with pytest.raises(AdminError):
        admin.listeners()


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ({"address": "::1", "port_value": 1}, {"address": "0:0::1", "port_value": 1}, True),
        (
            {"address": "1.1.1.1", "port_value": 1},
            {"protocol": "TCP", "address": "1.1.1.1", "port_value": 1},
            True,
        ),
        (
            {"address": "1.1.1.1", "port_value": 1},
            {"protocol": "UDP", "address": "1.1.1.1", "port_value": 1},
            False,
        ),
        ({"address": "1.1.1.1", "port_value": 1}, {"address": "1.1.1.1", "port_value": 11}, False),
        ({"address": "a.example", "port_value": 1}, {"address": "b", "port_value": 1}, False),
        ({"address": 5}, {"address": 6}, False),
    ],
)
def test_addresses_have_the_same_name_where_they_are_the_same(
    one: dict[str, object], other: dict[str, object], *, is_same: bool
) -> None:
    found = {address_of({"socket_address": place}) for place in (one, other)}

    assert len(found) == (1 if is_same else 2)


@pytest.mark.parametrize(
    "value",
    [b"garbage", b"[]", b"{}", b'{"stats": 5}', b'{"stats": [5, {"name": 1}]}', b"[" * 100_000],
)
def test_garbage_is_an_error_and_never_a_number(stub: Stub, value: bytes) -> None:
    admin, _ = stub(saying(value))

    with pytest.raises(AdminError):
        admin.draining()
    with pytest.raises(AdminError):
        admin.server_info()


def test_an_error_status_is_an_error(stub: Stub) -> None:
    admin, _ = stub(saying({}, "503 Service Unavailable"))

    with pytest.raises(AdminError, match="503"):
        admin.warming()


def test_an_endless_answer_is_cut_off(stub: Stub) -> None:
    def endless(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 1_000_000)

    admin, _ = stub(endless)
    with pytest.raises(AdminError):
        admin.versions()


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nx: ", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_slow_talker_does_not_win_time(stub: Stub, start: bytes) -> None:
    def slow(connection: socket.socket) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(b" ")
            time.sleep(0.02)

    admin, _ = stub(slow)
    started = time.monotonic()
    with pytest.raises(AdminError):
        admin.versions()
    assert time.monotonic() - started < 1.0


def test_nobody_listening_is_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        host, port = free.getsockname()

    with pytest.raises(EnvoyGoneError, match="nobody listens"):
        EnvoyAdmin(AdminAddress(host, port)).versions()


def test_a_unix_socket_is_asked_like_an_address(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    place = socket.socket(socket.AF_UNIX)
    place.bind(str(path))
    place.listen()
    server = StubServer(saying(stats(**{f"{LDS}version_text": "v1"})), place)
    bootstrap = {"admin": {"address": {"pipe": {"path": str(path)}}}}

    versions = EnvoyAdmin(AdminAddress.from_bootstrap(bootstrap)).versions()
    server.close()

    assert versions == {f"{LDS}version_text": "v1"}


@pytest.mark.parametrize(
    ("bound", "asked"),
    [("0.0.0.0", "127.0.0.1:1"), ("::", "[::1]:1"), ("10.0.0.1", "10.0.0.1:1")],
)
def test_the_admin_address_is_read_from_the_bootstrap(bound: str, asked: str) -> None:
    place = {"socket_address": {"address": bound, "port_value": 1}}

    assert str(AdminAddress.from_bootstrap({"admin": {"address": place}})) == asked


@pytest.mark.parametrize("admin", [None, {}, {"address": {}}, {"address": 5}])
def test_an_envoy_without_admin_interface_gets_no_delivery(admin: object) -> None:
    with pytest.raises(DeliveryError, match="no admin address"):
        AdminAddress.from_bootstrap({"admin": admin})
