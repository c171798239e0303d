"""Random clients on pure streams: whatever happens, they end with what they should have."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from meshc.delivery.xds.protocol.stream import Stream
from meshc.delivery.xds.protocol.types import CLUSTER, ENDPOINT, LISTENER, ROUTE, TypeUrl
from tests.delivery.xds.streams import RELEASE_S, Client, snapshot

pytestmark = pytest.mark.property

_WALKS = 150
_STEPS = 80
_SILENT_ROUNDS = 3
_NAMED = {ENDPOINT: ("e-a", "e-b", "e-c"), ROUTE: ("r", "s")}
_TYPES = (CLUSTER, ENDPOINT, LISTENER, ROUTE)


def _random_state(luck: random.Random) -> dict[str, str]:
    """Some clusters with their endpoints, some listeners, some routes, each in some version."""

    def some(names: str) -> list[str]:
        return [name for name in names if luck.random() < 0.7]

    clusters = some("abc")
    return {
        "clusters": " ".join(f"{name}{luck.randint(1, 2)}" for name in clusters),
        "endpoints": " ".join(f"e-{name}{luck.randint(1, 2)}" for name in clusters),
        "listeners": " ".join(f"{name}{luck.randint(1, 2)}" for name in some("lm")),
        "routes": " ".join(f"{name}{luck.randint(1, 2)}" for name in some("rs")),
    }


@dataclass
class _Walker:
    """A client that forgets nothing: what it has, what waits for its answer, what it refused."""

    luck: random.Random
    is_delta: bool
    state: dict[str, str]
    client: Client = field(init=False)
    has: dict[str, dict[str, str]] = field(default_factory=lambda: {one: {} for one in _TYPES})
    waiting: dict[str, Any] = field(default_factory=dict)
    names: dict[str, set[str]] = field(default_factory=lambda: {one: set() for one in _TYPES})
    refused: set[tuple[str, str, str]] = field(default_factory=set)
    refused_versions: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)
    received: int = 0

    def __post_init__(self) -> None:
        stream = Stream(snapshot=snapshot(**self.state), is_delta=self.is_delta)
        self.client = Client(stream)

    def receive(self, responses: list[Any]) -> None:
        for response in responses:
            self.received += 1
            assert response.type_url not in self.waiting, "a second response before the answer"
            self.waiting[response.type_url] = response

    def contents(self, response: Any) -> dict[str, str]:
        if self.is_delta:
            bodies = [one.resource.value for one in response.resources]
        else:
            bodies = [one.value for one in response.resources]
        pairs = [body.decode().partition("=") for body in bodies]
        return {name: content for name, _, content in pairs}

    def step(self) -> None:
        kind = self.luck.choice(["publish", "answer", "answer", "answer", "ask", "tick", "stale"])
        match kind:
            case "publish":
                self.state = _random_state(self.luck)
                self.receive(self.client.publish(snapshot(**self.state)))
            case "answer" if self.waiting:
                type_url = self.luck.choice(sorted(self.waiting))
                self.answer(type_url, is_accepted=self.luck.random() < 0.8)
            case "ask":
                self.ask(self.luck.choice(_TYPES))
            case "tick":
                self.receive(self.client.wait(self.luck.choice([0.1, 6, RELEASE_S + 1])))
            case "stale" if not self.is_delta and self.waiting:
                type_url = self.luck.choice(sorted(self.waiting))
                assert self.client.ask(type_url, *self.names[type_url], nonce="stale") == []
            case _:
                pass

    def ask(self, type_url: TypeUrl) -> None:
        if not self.is_delta and type_url in self.waiting:
            return  # its answer would have to come first, or it counts as stale
        if type_url in _NAMED:
            wanted = {one for one in _NAMED[type_url] if self.luck.random() < 0.7}
            wanted = wanted or {_NAMED[type_url][0]}
        else:
            wanted = set()
        before, self.names[type_url] = self.names[type_url], wanted
        is_first = type_url not in self.asked
        self.asked.add(type_url)
        for name in before - wanted:
            self.has[type_url].pop(name, None)
        if not self.is_delta:
            self.receive(self.client.ask(type_url, *sorted(wanted)))
        elif is_first or before != wanted:
            more, less = sorted(wanted - before), sorted(before - wanted)
            self.receive(self.client.ask_delta(type_url, subscribe=more, unsubscribe=less))

    def answer(self, type_url: str, *, is_accepted: bool) -> None:
        response = self.waiting.pop(type_url)
        contents = self.contents(response)
        contents = {
            name: content
            for name, content in contents.items()
            if type_url not in _NAMED or name in self.names[type_url]
        }
        if is_accepted:
            if not self.is_delta and type_url not in _NAMED:
                self.has[type_url] = contents
            else:
                self.has[type_url] |= contents
            self.refused -= {(type_url, name, content) for name, content in contents.items()}
            reply = self.client.acknowledge(response, *sorted(self.names[type_url]))
        else:
            if not self.is_delta:
                self.refused_versions.add(response.version_info)
            self.refused |= {(type_url, name, content) for name, content in contents.items()}
            reply = self.client.refuse(response, *sorted(self.names[type_url]))
        for name in getattr(response, "removed_resources", ()):
            self.has[type_url].pop(name, None)
        self.receive(reply)

    def settle(self) -> None:
        """Accept everything, with time enough, until nothing comes any more."""
        for type_url in _TYPES:
            if type_url not in self.asked:
                self.ask(type_url)
        before = self.received
        silence = 0
        while silence < _SILENT_ROUNDS and self.received - before < 60:
            while self.waiting:
                self.answer(min(self.waiting), is_accepted=True)
            self.receive(self.client.wait(RELEASE_S))
            silence = 0 if self.waiting else silence + 1
        assert self.received - before < 60, "it goes on for ever"

    def wanted(self, type_url: TypeUrl) -> dict[str, str]:
        resources = self.client.stream.snapshot.of(type_url).resources
        found = {}
        for name, one in resources.items():
            if type_url not in _NAMED or name in self.names[type_url]:
                content = b"".join(one.whole).rpartition(b"=")[2].decode()
                found[name] = content
        return found


@pytest.mark.conforms("nack", "make-before-break")
@pytest.mark.parametrize("is_delta", [False, True], ids=["whole", "delta"])
def test_every_walk_ends_with_what_is_wanted_or_was_refused(*, is_delta: bool) -> None:
    for seed in range(_WALKS):
        luck = random.Random(seed)
        walker = _Walker(luck, is_delta, _random_state(luck))
        for _ in range(_STEPS):
            walker.step()
        walker.settle()
        for type_url in _TYPES:
            wanted = walker.wanted(type_url)
            missing = {
                name
                for name, content in wanted.items()
                if walker.has[type_url].get(name) != content
                and (type_url, name, content) not in walker.refused
            }
            is_list = type_url not in _NAMED
            version = walker.client.stream._view(type_url).version
            if is_list and version in walker.refused_versions:
                continue  # a list that was refused is refused as a whole
            assert not missing, (seed, type_url, wanted, walker.has[type_url])
            if is_list and not walker.refused and not walker.refused_versions:
                assert set(walker.has[type_url]) == set(wanted), (seed, type_url)


@pytest.mark.conforms("nack")
@pytest.mark.parametrize("is_delta", [False, True], ids=["whole", "delta"])
def test_a_client_that_refuses_everything_is_left_alone(*, is_delta: bool) -> None:
    for seed in range(_WALKS // 3):
        luck = random.Random(seed)
        walker = _Walker(luck, is_delta, _random_state(luck))
        for type_url in _TYPES:
            walker.ask(type_url)
        for _ in range(20):
            while walker.waiting:
                walker.answer(min(walker.waiting), is_accepted=False)
            walker.receive(walker.client.wait(RELEASE_S))

        assert not walker.waiting
        assert walker.received <= 2 * len(_TYPES), seed
