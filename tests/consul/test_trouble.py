"""What a client goes through in a bad week: outages, dead wires, other tokens, being closed."""

from __future__ import annotations

import random
import threading
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from meshc.consul.client import ConsulClient
from meshc.consul.errors import ConsulDeniedError, ConsulError, ConsulUnreachableError
from meshc.consul.reading import Reply
from meshc.consul.settings import ConsulSettings
from meshc.consul.transport import Transport
from meshc.consul.watch import follow
from tests.consul import model
from tests.consul.following import Follower
from tests.consul.model import ModelConsul
from tests.consul.proxy import Wire
from tests.delivery.live import until

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def consul() -> Iterator[ModelConsul]:
    with ModelConsul() as started:
        yield started


def test_a_change_is_heard_while_the_question_waits(consul: ModelConsul) -> None:
    consul.put("key", b"one")
    with Follower(consul.client()) as follower:
        until(lambda: follower.values() == [b"one"], "the first value")
        consul.put("key", b"two")
        until(lambda: follower.values() == [b"one", b"two"], "the second value")
    assert len(consul.questions) <= 3


@pytest.mark.parametrize("lie", ["always zero", "always the same", "from a snapshot"])
def test_a_change_is_heard_however_wrong_the_index_is(consul: ModelConsul, lie: str) -> None:
    consul.put("key", b"one")
    if lie == "always zero":
        consul.shown_index = lambda _index: 0
    if lie == "always the same":
        consul.shown_index = lambda _index: 7
    with Follower(consul.client(), wait=1.0) as follower:
        until(lambda: follower.values() == [b"one"], "the first value")
        if lie == "from a snapshot":
            consul.forget(3)
        consul.put("key", b"two")
        until(lambda: follower.values() == [b"one", b"two"], "the second value")


def test_waking_for_nothing_is_no_news(consul: ModelConsul) -> None:
    consul.put("key", b"one")
    with Follower(consul.client()) as follower:
        until(lambda: len(consul.questions) >= 2, "a question that waits")
        consul.wake()
        until(lambda: len(consul.questions) >= 3, "another one")
        assert follower.values() == [b"one"]
        consul.put("key", b"two")
        until(lambda: follower.values() == [b"one", b"two"], "the second value")


@pytest.mark.parametrize(
    "trouble",
    [
        model.status(500, "No cluster leader"),
        model.status(429, "too many"),
        model.status(503, "no"),
        model.reset,
        model.raw(b"{"),
    ],
    ids=["500", "429", "503", "reset", "garbage"],
)
def test_an_outage_is_outlived(consul: ModelConsul, trouble: model.Trouble) -> None:
    consul.put("key", b"before")
    consul.always = trouble
    with Follower(consul.client()) as follower:
        until(lambda: len(follower.errors()) >= 5, "five failures")
        consul.put("key", b"after")
        consul.always = None
        until(lambda: follower.values() == [b"after"], "the value after the outage")


def test_a_dead_wire_is_noticed_at_the_deadline_and_another_one_taken(consul: ModelConsul) -> None:
    consul.put("key", b"before")
    with Wire(consul.place) as wire:
        client = ConsulClient(ConsulSettings(address=wire.address, timeout=2.0))
        with Follower(client, wait=0.5) as follower:
            until(lambda: follower.values() == [b"before"], "the value before")
            wire.kill()
            until(lambda: len(follower.errors()) >= 1, "the dead wire is noticed")
            assert isinstance(follower.errors()[0], ConsulUnreachableError)
            consul.put("key", b"after")
            wire.revive()
            until(lambda: follower.values() == [b"before", b"after"], "the value after")
    assert wire.accepted >= 2


@pytest.mark.parametrize(
    ("wait", "deadline"), [(60.0, 66.0), (300.0, 330.0), (20.0, 22.0), (1.0, 3.0), (None, 10.0)]
)
def test_a_question_that_waits_gets_a_tenth_more_than_it_waits(
    monkeypatch: pytest.MonkeyPatch, wait: float | None, deadline: float
) -> None:
    limits = []

    def send(_self: Transport, _method: str, _target: str, _body: object, limit: float) -> object:
        limits.append(limit)
        raise ConsulUnreachableError("not sent")

    monkeypatch.setattr(Transport, "_send", send)
    with ConsulClient(ConsulSettings()) as client, pytest.raises(ConsulUnreachableError):
        client.kv_get("key", index=None if wait is None else 5, wait=wait)
    assert limits == [pytest.approx(deadline)]


def test_a_token_that_ends_is_replaced_from_its_file_without_a_restart(
    consul: ModelConsul, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("old\n")
    consul.token = "old"
    consul.put("key", b"one")
    client = ConsulClient(ConsulSettings(address=consul.address, token_file=file))
    with Follower(client, wait=1.0, chance=1.0) as follower:
        until(lambda: follower.values() == [b"one"], "the first value")
        consul.token = "new"
        consul.put("key", b"two")
        until(lambda: len(follower.errors()) == 1, "the denial")
        assert isinstance(follower.errors()[0], ConsulDeniedError)
        new = tmp_path / "new"
        new.write_text("new\n")
        new.replace(file)
        # Its pause would be eight seconds, and the next one sixteen.
        until(lambda: follower.values() == [b"one", b"two"], "the value under the new token", 7)


def test_a_token_file_may_vanish_while_it_is_replaced(consul: ModelConsul, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("token")
    consul.token = "token"
    with ConsulClient(ConsulSettings(address=consul.address, token_file=file)) as client:
        client.kv_get("key")
        file.write_text("")
        client.kv_get("key")
        file.unlink()
        client.kv_get("key")
    assert [one.headers["x-consul-token"] for one in consul.questions] == ["token"] * 3


def test_a_token_file_that_was_never_there_is_told(consul: ModelConsul, tmp_path: Path) -> None:
    settings = ConsulSettings(address=consul.address, token_file=tmp_path / "none")
    with ConsulClient(settings) as client, pytest.raises(ConsulDeniedError, match="none"):
        client.kv_get("key")
    assert consul.questions == []


@pytest.mark.parametrize("kind", ["wait", "silence"])
def test_closing_ends_a_question_that_waits_in_another_thread(
    consul: ModelConsul, kind: str
) -> None:
    index = consul.put("key", b"value")
    if kind == "silence":
        consul.always = _silence
    errors: list[ConsulError] = []
    client = consul.client(timeout=25.0)

    def ask() -> None:
        try:
            client.kv_get("key", index=index + 5, wait=25.0)
        except ConsulError as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    until(lambda: len(consul.questions) == 1, "the question")
    client.close()
    thread.join(10)
    assert [type(one) for one in errors] == [ConsulUnreachableError]


def _silence(connection: socket.socket) -> None:
    connection.recv(1)


def test_a_closed_client_asks_nothing(consul: ModelConsul) -> None:
    client = consul.client()
    client.close()
    with pytest.raises(ConsulUnreachableError, match="closed"):
        client.kv_get("key")
    assert consul.questions == []


def test_connections_are_kept(consul: ModelConsul) -> None:
    with Wire(consul.place) as wire:
        with ConsulClient(ConsulSettings(address=wire.address)) as client:
            for number in range(20):
                client.kv_put("key", str(number).encode())
                client.kv_get("key")
                client.kv_get("none")
        assert wire.accepted == 1


def test_a_connection_that_was_closed_meanwhile_costs_a_reader_nothing(
    consul: ModelConsul,
) -> None:
    consul.put("key", b"value")
    with consul.client() as client:
        client.kv_get("key")
        consul.troubles.append(model.hang_up)
        assert client.kv_get("key").value is not None
        consul.troubles.append(model.hang_up)
        with pytest.raises(ConsulUnreachableError):
            client.kv_put("key", b"other")


def test_several_threads_may_ask_one_client(consul: ModelConsul) -> None:
    wrong: list[object] = []
    with consul.client() as client:

        def ask(name: str) -> None:
            for _ in range(20):
                client.kv_put(name, name.encode())
                found = client.kv_get(name).value
                if found is None or found.value != name.encode():
                    wrong.append(found)

        threads = [threading.Thread(target=ask, args=(f"key-{one}",)) for one in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert wrong == []
    assert len(consul.questions) == 12 * 20 * 2


def test_the_environment_neither_redirects_nor_adds_anything(
    consul: ModelConsul, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Proxies and passwords of the user's, and variables that py-consul itself would read."""
    (tmp_path / ".netrc").write_text(f"machine {consul.place[0]} login a password b\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "CONSUL_HTTP_ADDR"):
        monkeypatch.setenv(name, "http://127.0.46.9:1")
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", "another")
    monkeypatch.setenv("CONSUL_HTTP_SSL", "true")
    with consul.client(token="given") as client:
        client.kv_get("key")
    headers = consul.questions[0].headers
    assert headers["x-consul-token"] == "given"
    assert "authorization" not in headers


def test_a_token_never_stands_in_an_address_or_a_body(
    consul: ModelConsul, monkeypatch: pytest.MonkeyPatch
) -> None:
    consul.always = model.raw(b"true")
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", "canary of the environment")
    with consul.client(token="canary") as client:
        client.catalog_register({"Node": "a", "Address": "10.0.0.1"})
        client.catalog_deregister("a")
        client.agent_register({"Name": "a"})
    assert len(consul.questions) == 3
    for question in consul.questions:
        assert question.headers["x-consul-token"] == "canary"
        assert "canary" not in question.path + str(question.params) + question.body.decode()


class Agent:
    """An agent in a simulated day: its clock jumps, its Consul is away until ``back``."""

    def __init__(self, back: float) -> None:
        self.now = 0.0
        self.asked: list[float] = []
        self._back = back

    def is_closed(self) -> bool:
        return False

    def rest(self, seconds: float) -> bool:
        self.now += seconds
        return False

    def token_mark(self) -> object:
        return None

    def ask(self, _index: int, wait: float) -> Reply[str]:
        self.asked.append(self.now)
        if self.now < self._back:
            raise ConsulUnreachableError("away")
        if len(self.asked) > 1 and self.asked[-2] >= self._back:
            self.now += wait
        return Reply(value="a", index=5)


def test_a_thousand_agents_do_not_come_back_together(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(7)
    back = 600.0
    seconds: Counter[int] = Counter()
    for _ in range(1000):
        agent = Agent(back)
        monkeypatch.setattr("meshc.consul.watch.time.monotonic", _clock(agent))
        for _event in follow(agent, agent.ask, chance=draw.random):
            if agent.now > back + 120:
                break
        seconds.update(int(at) for at in agent.asked if at >= back - 60)
    during = max(count for second, count in seconds.items() if second < back)
    after = max(count for second, count in seconds.items() if second >= back)
    assert during < 100
    assert after < 100


def _clock(agent: Agent) -> Callable[[], float]:
    return lambda: agent.now
