"""Random clients on pure streams: whatever they do, they end with what they should have."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from meshc.delivery.xds.protocol.stream import Stream
from meshc.delivery.xds.protocol.types import CLUSTER, ENDPOINT, LISTENER, ROUTE, TypeUrl
from tests.delivery.xds.streams import RELEASE_S, Client, snapshot

STEPS = 80
"""Of one walk; later ones find the client in no state that it was not in before."""
_SILENT_ROUNDS = 3
_KINDS = ("publish", "answer", "answer", "answer", "ask", "tick", "stale", "again", "leave")
_NAMED = {ENDPOINT: ("e-a", "e-b", "e-c"), ROUTE: ("r", "s")}
TYPES = (CLUSTER, ENDPOINT, LISTENER, ROUTE)


def random_state(luck: random.Random) -> dict[str, str]:
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
class Walker:
    """A client that forgets nothing: what it has, what waits for its answer, what it refused."""

    luck: random.Random
    is_delta: bool
    state: dict[str, str]
    client: Client = field(init=False)
    has: dict[str, dict[str, str]] = field(default_factory=lambda: {one: {} for one in TYPES})
    waiting: dict[str, Any] = field(default_factory=dict)
    names: dict[str, set[str]] = field(default_factory=lambda: {one: set() for one in TYPES})
    refused: set[tuple[str, str, str]] = field(default_factory=set)
    refused_versions: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)
    owed: set[tuple[str, str]] = field(default_factory=set)
    received: int = 0

    def __post_init__(self) -> None:
        stream = Stream(snapshot=snapshot(**self.state), is_delta=self.is_delta)
        self.client = Client(stream)

    def receive(self, responses: list[Any]) -> None:
        for response in responses:
            self.received += 1
            assert response.type_url not in self.waiting, "a second response before the answer"
            self.waiting[response.type_url] = response
            self.owed -= {(response.type_url, name) for name in self.contents(response)}

    def contents(self, response: Any) -> dict[str, str]:
        if self.is_delta:
            bodies = [one.resource.value for one in response.resources]
        else:
            bodies = [one.value for one in response.resources]
        pairs = [body.decode().partition("=") for body in bodies]
        return {name: content for name, _, content in pairs}

    def step(self) -> None:
        kind = self.luck.choice(_KINDS)
        match kind:
            case "publish":
                self.state = random_state(self.luck)
                self.receive(self.client.publish(snapshot(**self.state)))
            case "answer" if self.waiting:
                type_url = self.luck.choice(sorted(self.waiting))
                self.answer(type_url, is_accepted=self.luck.random() < 0.8)
            case "ask":
                self.ask(self.luck.choice(TYPES))
            case "tick":
                self.receive(self.client.wait(self.luck.choice([0.1, 6, RELEASE_S + 1])))
            case "stale" if self.asked:
                self.confuse(self.luck.choice(sorted(self.asked)))
            case "again" if self.is_delta:
                self.ask_again(self.luck.choice(sorted(_NAMED)))
            case "leave":
                self.leave(self.luck.choice(sorted(_NAMED)))
            case _:
                pass

    def confuse(self, type_url: str) -> None:
        """Answer with a nonce of another type, or of nobody: that changes nothing."""
        others = [nonce for other, nonce in self.client.nonces.items() if other != type_url]
        nonce = self.luck.choice(["stale", *others])
        if nonce == self.client.nonces.get(type_url) or not self.client.nonces.get(type_url):
            return  # both have sent as many, or a nonce is not expected yet
        error = self.luck.choice([None, "no"])
        if self.is_delta:
            assert self.client.ask_delta(type_url, nonce=nonce, error=error) == []
        else:
            names = sorted(self.names[type_url])
            assert self.client.ask(type_url, *names, nonce=nonce, error=error) == []

    def ask_again(self, type_url: TypeUrl) -> None:
        """Subscribe to what is there already: it comes again, when it is its turn."""
        if self.names[type_url] and type_url not in self.waiting:
            one = self.luck.choice(sorted(self.names[type_url]))
            self.refused = {entry for entry in self.refused if entry[:2] != (type_url, one)}
            self.owed.add((type_url, one))
            self.receive(self.client.ask_delta(type_url, subscribe=[one]))

    def leave(self, type_url: TypeUrl) -> None:
        """Want nothing of a type any more."""
        before = self.names[type_url]
        if not before or (not self.is_delta and type_url in self.waiting):
            return
        self.names[type_url] = set()
        self.has[type_url].clear()
        if self.is_delta:
            self.receive(self.client.ask_delta(type_url, unsubscribe=sorted(before)))
        else:
            self.receive(self.client.ask(type_url))

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
        for type_url in TYPES:
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


def walk(seed: int, *, is_delta: bool) -> None:
    """Take so many steps by chance; raises AssertionError where the end is wrong."""
    luck = random.Random(seed)
    walker = Walker(luck, is_delta, random_state(luck))
    for _ in range(STEPS):
        walker.step()
    walker.settle()
    for type_url in TYPES:
        _check_end(walker, type_url, seed)


def _check_end(walker: Walker, type_url: TypeUrl, seed: int) -> None:
    wanted = walker.wanted(type_url)
    missing = {
        name
        for name, content in wanted.items()
        if walker.has[type_url].get(name) != content
        and (type_url, name, content) not in walker.refused
    }
    is_list = type_url not in _NAMED
    if is_list and walker.client.stream._view(type_url).version in walker.refused_versions:
        return  # a list that was refused is refused as a whole
    assert not {name for kind, name in walker.owed if kind == type_url and name in wanted}, seed
    assert not missing, (seed, type_url, wanted, walker.has[type_url])
    if is_list and not walker.refused and not walker.refused_versions:
        assert set(walker.has[type_url]) == set(wanted), (seed, type_url)
