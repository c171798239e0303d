"""The order of an aggregated stream: nothing comes before its time, nothing goes too soon."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshc.delivery.xds.protocol import stream
from meshc.delivery.xds.protocol.types import CLUSTER, ENDPOINT, LISTENER, ROUTE
from tests.delivery.xds.conformance.stage import ALL, NAMES, Stage, Talk, both_variants, play
from tests.delivery.xds.streams import contents_in, names_in

if TYPE_CHECKING:
    from typing import Any

_OLD = {"clusters": "a", "endpoints": "e-a", "listeners": "l", "routes": "r"}
_NEW = {"clusters": "b", "endpoints": "e-b", "listeners": "l2", "routes": "r2"}
_GRACE_S = 0.1


@pytest.fixture(autouse=True)
def _times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Old resources go soon once they may, and a client that is slow to answer is waited for."""
    monkeypatch.setattr(stream, "_GRACE_S", _GRACE_S)
    monkeypatch.setattr(stream, "_PATIENCE_S", 60.0)


async def _started(stage: Stage, *, is_delta: bool) -> Talk:
    """A client that asks as an Envoy does, and has everything."""
    stage.drain_s = 0.0
    await stage.put(**_OLD)
    talk = stage.talk(is_delta=is_delta)
    for type_url, names in ((CLUSTER, ()), (ENDPOINT, ("e-a",)), (LISTENER, ()), (ROUTE, ("r",))):
        await talk.ask(type_url, *names)
        await talk.taken()
    assert await talk.is_quiet()
    return talk


def _removed(response: Any) -> list[str]:
    return list(getattr(response, "removed_resources", ()))


@pytest.mark.conforms("order", "make-before-break", "C14")
@both_variants
def test_what_is_new_comes_in_order_and_what_is_old_goes_last(*, is_delta: bool) -> None:
    async def scene(stage: Stage) -> None:
        talk = await _started(stage, is_delta=is_delta)

        await stage.put(**_NEW)

        clusters = await talk.answer()
        assert (clusters.type_url, _removed(clusters)) == (CLUSTER, [])
        assert names_in(clusters) == (["b"] if is_delta else ["a", "b"])
        assert await talk.is_quiet()  # listeners wait for clusters,
        await talk.accept(clusters)
        assert await talk.is_quiet()  # and for their endpoints,
        await talk.ask(ENDPOINT, *(["e-b"] if is_delta else ["e-a", "e-b"]))
        endpoints = await talk.answer()
        assert names_in(endpoints) == ["e-b"]
        assert await talk.is_quiet()
        await talk.accept(endpoints)
        listeners = await talk.answer()
        assert contents_in(listeners) == ["l=2"]
        assert await talk.is_quiet()  # routes for listeners,
        await talk.accept(listeners)
        routes = await talk.answer()
        assert contents_in(routes) == ["r=2"]
        assert await talk.call.has_silence()  # and what is old for all of them.

        await talk.accept(routes)

        gone = await talk.taken()
        assert gone.type_url == CLUSTER
        assert (names_in(gone), _removed(gone)) == (([], ["a"]) if is_delta else (["b"], []))

    play(scene)


@pytest.mark.conforms("make-before-break", "nack")
@both_variants
def test_nothing_goes_as_long_as_a_listener_is_refused(*, is_delta: bool) -> None:
    async def scene(stage: Stage) -> None:
        talk = await _started(stage, is_delta=is_delta)
        await stage.put(endpoints="e-a", listeners="l2", routes="r")
        await talk.refuse(await talk.answer())
        assert await talk.call.has_silence()

        await stage.put(endpoints="e-a", listeners="l3", routes="r")

        assert contents_in(await talk.taken()) == ["l=3"]
        gone = await talk.taken()
        assert gone.type_url == CLUSTER
        assert (names_in(gone), _removed(gone)) == ([], ["a"] if is_delta else [])

    play(scene)


@pytest.mark.conforms("make-before-break", "J2")
@both_variants
def test_a_cluster_that_is_back_in_time_has_never_gone(*, is_delta: bool) -> None:
    async def scene(stage: Stage) -> None:
        talk = await _started(stage, is_delta=is_delta)
        await stage.put(endpoints="e-a", listeners="l2", routes="r")
        listeners = await talk.answer()
        await stage.put(**_OLD | {"listeners": "l2"})

        await talk.accept(listeners)

        assert await talk.call.has_silence()

    play(scene)


@pytest.mark.conforms("endpoints-again", "J2")
@both_variants
def test_endpoints_come_again_after_their_cluster_which_an_envoy_builds_anew(
    *, is_delta: bool
) -> None:
    async def scene(stage: Stage) -> None:
        talk = stage.talk(is_delta=is_delta)
        for type_url in (CLUSTER, ENDPOINT):
            await talk.ask(type_url, *NAMES[type_url])
            await talk.taken()

        await stage.put(**ALL | {"clusters": "a2 b"})

        clusters = await talk.answer()
        assert clusters.type_url == CLUSTER
        # The Envoy answers when it has them.
        assert contents_in(await talk.taken()) == ["e-a=1"]
        await talk.accept(clusters)
        assert await talk.is_quiet()

    play(scene, **ALL)


@pytest.mark.conforms("order", "J3", "K5")
@both_variants
def test_two_clients_each_get_all_types_in_order(*, is_delta: bool) -> None:
    """Neither waits for the other: the second has everything before the first has answered."""

    async def scene(stage: Stage) -> None:
        talks = [stage.talk(is_delta=is_delta) for _ in range(2)]
        for talk in talks:
            for type_url, names in NAMES.items():
                await talk.ask(type_url, *names)
                await talk.taken()

        await stage.put(**{kind: " ".join(f"{one}2" for one in ALL[kind].split()) for kind in ALL})

        for talk in reversed(talks):
            order = [(await talk.taken()).type_url for _ in NAMES]
            led = [one for one in order if one in (CLUSTER, ENDPOINT, LISTENER, ROUTE)]
            assert led == [CLUSTER, ENDPOINT, LISTENER, ROUTE]
            assert sorted(order) == sorted(NAMES)
            assert await talk.is_quiet()

    play(scene, **ALL)


@pytest.mark.conforms("order")
@both_variants
def test_streams_of_one_type_wait_for_nothing_and_keep_what_is_old_for_a_while(
    *, is_delta: bool
) -> None:
    async def scene(stage: Stage) -> None:
        stage.drain_s = 0.0
        await stage.put(**_OLD)
        clusters, routes = (stage.talk(only=only, is_delta=is_delta) for only in (CLUSTER, ROUTE))
        await clusters.ask(CLUSTER)
        await routes.ask(ROUTE, "r")
        for talk in (clusters, routes):
            await talk.taken()

        await stage.put(**_NEW)

        assert contents_in(await routes.taken()) == ["r=2"]
        both = await clusters.taken()
        assert (names_in(both), _removed(both)) == ((["b"] if is_delta else ["a", "b"]), [])
        gone = await clusters.taken()
        assert (names_in(gone), _removed(gone)) == (([], ["a"]) if is_delta else (["b"], []))

    play(scene)
