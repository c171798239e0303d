"""Locks in a real Consul."""

from __future__ import annotations

import secrets
import threading
from typing import TYPE_CHECKING

import pytest

from meshc.consul.errors import ConsulConflictError
from meshc.consul.kv import KvOperation
from meshc.consul.lock import hold_lock
from tests.delivery.live import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshc.consul.client import ConsulClient
    from tests.consul.server import ConsulServer

pytestmark = pytest.mark.consul


@pytest.fixture
def client(consul_dev: ConsulServer) -> Iterator[ConsulClient]:
    with consul_dev.client() as opened:
        yield opened


@pytest.fixture
def key() -> str:
    return f"meshc/v1/test-{secrets.token_hex(8)}/lock"


def session_of(client: ConsulClient, key: str) -> str:
    found = client.kv_get(key).value
    return "" if found is None else found.session


def test_a_second_holder_is_told_who_the_first_is(client: ConsulClient, key: str) -> None:
    with (
        hold_lock(client, key, purpose="first"),
        pytest.raises(ConsulConflictError, match="held by somebody else: first on .*, process"),
        hold_lock(client, key, purpose="second", patience=0),
    ):
        pass


def test_a_second_holder_gets_it_as_soon_as_the_first_is_done(
    client: ConsulClient, key: str
) -> None:
    order = []

    def second() -> None:
        with hold_lock(client, key, purpose="second", patience=20):
            order.append("second")

    thread = threading.Thread(target=second)
    with hold_lock(client, key, purpose="first"):
        thread.start()
        order.append("first")
    thread.join(20)
    assert order == ["first", "second"]
    assert session_of(client, key) == ""


def test_writes_of_who_lost_the_lock_are_refused_by_consul(client: ConsulClient, key: str) -> None:
    with hold_lock(client, key, purpose="slow", ttl=10) as held:
        write = KvOperation(verb="set", key=f"{key}-data", value=b"mine")
        assert client.txn([held.fence(), write]).ok
        client.session_destroy(session_of(client, key))
        assert not client.txn([held.fence(), write]).ok
        until(lambda: held.is_lost, "the loss is noticed")
        with pytest.raises(ConsulConflictError, match="was lost"):
            held.check()


def test_a_lock_is_given_back_after_an_error_too(client: ConsulClient, key: str) -> None:
    def fail() -> None:
        with hold_lock(client, key, purpose="broken"):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with hold_lock(client, key, purpose="next", patience=0):
        assert session_of(client, key) != ""
