"""State of the world: which names a request asks for, and for how long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshc.delivery.xds.protocol.types import CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET
from tests.delivery.xds.conformance.stage import ALL, NAMES, Stage, Talk, both_variants, play
from tests.delivery.xds.streams import contents_in, names_in

if TYPE_CHECKING:
    from typing import Any

    from meshc.delivery.xds.protocol.types import TypeUrl

_KINDS = {
    CLUSTER: "clusters",
    ENDPOINT: "endpoints",
    LISTENER: "listeners",
    ROUTE: "routes",
    SECRET: "secrets",
}
_GRPC = {"node": {"id": "n", "user_agent_name": "gRPC C-core Linux"}}
_UNKNOWN = "type.googleapis.com/tests.Nothing"
every_type = pytest.mark.parametrize("type_url", _KINDS, ids=_KINDS.get)


class _World:
    """Two resources of one type, ``a`` and ``b``, of which both change at each step."""

    def __init__(self, stage: Stage, type_url: TypeUrl) -> None:
        self._stage = stage
        self._kind = _KINDS[type_url]
        self._step = 1

    async def change(self) -> None:
        self._step += 1
        await self._stage.put(**{self._kind: f"a{self._step} b{self._step}"})

    async def is_told(self, talk: Talk, *names: str) -> bool:
        """Whether a client hears of a change to exactly these, as they are now."""
        await self.change()
        response = await talk.taken()
        return contents_in(response) == [f"{name}={self._step}" for name in names]


@pytest.mark.conforms("U1")
@every_type
def test_no_names_ask_for_everything_until_there_is_one(type_url: TypeUrl) -> None:
    async def scene(stage: Stage) -> None:
        world, talk = _World(stage, type_url), stage.talk()
        await talk.ask(type_url)
        assert names_in(await talk.taken()) == ["a", "b"]
        for _ in range(2):
            await talk.ask(type_url)
            assert await talk.is_quiet()
        assert await world.is_told(talk, "a", "b")

        await talk.ask(type_url, "a")
        assert await talk.is_quiet()
        assert await world.is_told(talk, "a")

        await talk.ask(type_url)
        assert await talk.is_quiet()
        await world.change()
        assert await talk.is_quiet()

    play(scene, **{_KINDS[type_url]: "a b"})


@pytest.mark.conforms("U2")
@every_type
def test_the_star_asks_for_everything_as_long_as_it_is_there(type_url: TypeUrl) -> None:
    async def scene(stage: Stage) -> None:
        world, talk = _World(stage, type_url), stage.talk()
        await talk.ask(type_url, "*")
        assert names_in(await talk.taken()) == ["a", "b"]
        for names in (("*", "a"), ("*", "b")):
            await talk.ask(type_url, *names)
            assert await talk.is_quiet()
            assert await world.is_told(talk, "a", "b")

        await talk.ask(type_url, "b")
        assert await talk.is_quiet()
        assert await world.is_told(talk, "b")

        await talk.ask(type_url)
        await world.change()
        assert await talk.is_quiet()

        await talk.ask(type_url, "*")
        assert names_in(await talk.taken()) == ["a", "b"]
        assert await world.is_told(talk, "a", "b")

    play(scene, **{_KINDS[type_url]: "a b"})


@pytest.mark.conforms("U2", "resubscribe")
@every_type
def test_what_was_dropped_with_the_star_is_sent_again(
    type_url: TypeUrl,
) -> None:
    async def scene(stage: Stage) -> None:
        talk = stage.talk()
        await talk.ask(type_url, "*")
        await talk.taken()
        await talk.ask(type_url, "a")
        assert await talk.is_quiet()

        await talk.ask(type_url, "a", "b")

        assert "b" in names_in(await talk.taken())
        assert await talk.is_quiet()

    play(scene, **{_KINDS[type_url]: "a b"})


@pytest.mark.conforms("resubscribe", "L11")
@every_type
def test_a_name_that_was_dropped_comes_again_though_it_is_the_same(type_url: TypeUrl) -> None:
    async def scene(stage: Stage) -> None:
        talk = stage.talk()
        await talk.ask(type_url, "a", "b")
        assert names_in(await talk.taken()) == ["a", "b"]
        await talk.ask(type_url, "b")
        assert await talk.is_quiet()

        await talk.ask(type_url, "a", "b")

        assert "a" in names_in(await talk.taken())
        assert await talk.is_quiet()

    play(scene, **{_KINDS[type_url]: "a b"})


@pytest.mark.conforms("U5")
@both_variants
def test_no_names_are_nothing_to_a_grpc_client_and_everything_to_an_envoy(
    *, is_delta: bool
) -> None:
    """gRPC's own client has no wildcard: without names it has nothing to ask for any more."""

    async def scene(stage: Stage) -> None:
        envoy, client = stage.talk(is_delta=is_delta), stage.talk(is_delta=is_delta)
        await client.ask(_UNKNOWN, "x", **_GRPC)
        for type_url, names in NAMES.items():
            await envoy.ask(type_url)
            assert names_in(await envoy.taken()) == list(names)
            await client.ask(type_url)
            assert await client.is_quiet()

        await client.ask(CLUSTER, "*")

        assert names_in(await client.taken()) == ["a", "b"]

    play(scene, **ALL)


@pytest.mark.conforms("named-subset", "J1", "C1")
@both_variants
def test_what_exists_of_the_names_asked_for_is_sent_and_never_held_back(*, is_delta: bool) -> None:
    """Neither less, as other names are missing, nor more than was asked for."""

    async def scene(stage: Stage) -> None:
        talk = stage.talk(is_delta=is_delta)
        for type_url, names in NAMES.items():
            await talk.ask(type_url, names[1], "absent")
            response: Any = await talk.taken()
            assert response.type_url == type_url
            assert names_in(response) == [names[1]]
        assert await talk.is_quiet()

    play(scene, **ALL)


@pytest.mark.conforms("C1", "J6")
def test_a_name_that_is_not_there_is_silent_until_it_is() -> None:
    async def scene(stage: Stage) -> None:
        talk = stage.talk()
        for type_url in (ENDPOINT, ROUTE, SECRET):
            await talk.ask(type_url, "wrong")
        assert await talk.is_quiet()

        await stage.put(**ALL | {"endpoints": "e-a wrong"})

        assert names_in(await talk.taken()) == ["wrong"]
        assert await talk.is_quiet()

    play(scene, **ALL)


@pytest.mark.conforms("absent-type", "J6", "L11")
@pytest.mark.parametrize("names", [(), ("*",), ("absent",)], ids=["legacy", "explicit", "named"])
def test_without_clusters_and_listeners_that_is_said_at_once(names: tuple[str, ...]) -> None:
    """An Envoy waits for its time limit otherwise, a gRPC client too for what it names."""

    async def scene(stage: Stage) -> None:
        for is_aggregated in (True, False):
            for type_url in (CLUSTER, LISTENER):
                talk = stage.talk(only=None if is_aggregated else type_url)
                await talk.ask(type_url, *names)
                response = await talk.taken()
                assert (response.type_url, names_in(response)) == (type_url, [])
                assert response.version_info

    play(scene)
