"""Several clients of one collection, in state of the world and in delta."""

from __future__ import annotations

import asyncio

import pytest

from meshc.delivery.xds.protocol.types import CLUSTER, ENDPOINT, LISTENER
from tests.delivery.xds.conformance.stage import Stage, both_variants, play
from tests.delivery.xds.streams import contents_in, names_in

_CROWD = 100


@pytest.mark.conforms("L1", "L2", "L5")
def test_everything_and_one_name_are_answered_once_at_each_change() -> None:
    async def scene(stage: Stage) -> None:
        every, one = stage.talk(), stage.talk()
        await every.ask(ENDPOINT)
        await one.ask(ENDPOINT, "a")
        assert names_in(await every.taken()) == ["a", "b"]
        assert names_in(await one.taken()) == ["a"]

        await stage.put(endpoints="a2 b2 c")  # one step, though three have changed
        assert contents_in(await every.taken()) == ["a=2", "b=2", "c=1"]
        assert contents_in(await one.taken()) == ["a=2"]

        await stage.put(endpoints="a2 b3 c")
        assert contents_in(await every.taken()) == ["b=3"]
        for talk in (every, one):
            assert await talk.is_quiet()

    play(scene, endpoints="a b")


@pytest.mark.conforms("L3", "L2", "restart", "version")
def test_a_version_that_is_current_is_waited_at_and_any_other_is_answered() -> None:
    async def scene(stage: Stage) -> None:
        first = stage.talk()
        await first.ask(CLUSTER)
        current = (await first.taken()).version_info

        for version in ("", "1", "replica-1", current[:-1]):
            other = stage.talk()
            await other.ask(CLUSTER, version_info=version)
            assert (await other.taken()).version_info == current
        same = stage.talk()
        await same.ask(CLUSTER, version_info=current, response_nonce="17")
        assert await same.is_quiet()
        await stage.put(clusters="a2")
        assert contents_in(await same.taken()) == ["a=2"]

    play(scene, clusters="a")


@pytest.mark.conforms("L3", "L4")
def test_an_old_version_of_what_is_gone_is_answered_with_nothing() -> None:
    async def scene(stage: Stage) -> None:
        talk = stage.talk()
        await talk.ask(LISTENER, version_info="of-another-time")

        assert names_in(await talk.taken()) == []

    play(scene)


@pytest.mark.conforms("L4", "L9", "L2")
def test_what_goes_is_missing_from_lists_named_in_delta_and_silent_otherwise() -> None:
    async def scene(stage: Stage) -> None:
        whole, delta = stage.talk(), stage.talk(is_delta=True)
        for talk in (whole, delta):
            await talk.ask(LISTENER)
            await talk.taken()
            await talk.ask(ENDPOINT, "a", "b")
            await talk.taken()

        await stage.put(listeners="b", endpoints="b")
        gone = {one.type_url: one for one in [await delta.taken(), await delta.taken()]}
        assert {kind: list(one.removed_resources) for kind, one in gone.items()} == {
            LISTENER: ["a"],
            ENDPOINT: ["a"],
        }
        assert names_in(await whole.taken()) == ["b"]
        assert await whole.is_quiet()

        await stage.put()
        response = await whole.taken()
        assert (response.type_url, names_in(response)) == (LISTENER, [])
        assert await whole.is_quiet()

    play(scene, listeners="a b", endpoints="a b")


@pytest.mark.conforms("L5", "C7")
@both_variants
def test_a_client_that_goes_leaves_the_others_alone(*, is_delta: bool) -> None:
    async def scene(stage: Stage) -> None:
        going, staying = stage.talk(is_delta=is_delta), stage.talk(is_delta=is_delta)
        for talk in (going, staying):
            await talk.ask(ENDPOINT, "a")
            await talk.taken()
        going.call.cancel()

        await stage.put(endpoints="a2")

        assert contents_in(await staying.taken()) == ["a=2"]

    play(scene, endpoints="a")


@pytest.mark.conforms("L10")
def test_a_list_of_names_is_answered_whole_and_wakes_nobody_else() -> None:
    async def scene(stage: Stage) -> None:
        pair, single = stage.talk(), stage.talk()
        await pair.ask(CLUSTER, "a", "b")
        await single.ask(CLUSTER, "c")
        assert names_in(await pair.taken()) == ["a", "b"]
        assert names_in(await single.taken()) == ["c"]

        await stage.put(clusters="a2 b c")
        assert contents_in(await pair.taken()) == ["a=2", "b=1"]
        await stage.put(clusters="a2 b2 c")
        assert contents_in(await pair.taken()) == ["a=2", "b=2"]

        assert await single.is_quiet()
        await stage.put(clusters="a2 b2 c2")
        assert contents_in(await single.taken()) == ["c=2"]
        assert await pair.is_quiet()

    play(scene, clusters="a b c")


@pytest.mark.conforms("L10", "L11")
def test_of_several_names_only_those_that_changed_are_sent() -> None:
    async def scene(stage: Stage) -> None:
        talk = stage.talk()
        await talk.ask(ENDPOINT, "a", "b")
        assert names_in(await talk.taken()) == ["a", "b"]
        await stage.put(endpoints="a2 b c")
        assert contents_in(await talk.taken()) == ["a=2"]
        await stage.put(endpoints="a2 b2 c")
        assert contents_in(await talk.taken()) == ["b=2"]

        await talk.ask(ENDPOINT, "a", "b", "c")
        assert contents_in(await talk.taken()) == ["c=1"]
        assert await talk.is_quiet()

    play(scene, endpoints="a b c")


@pytest.mark.conforms("L11", "L3")
def test_four_clients_that_begin_in_different_ways_hear_of_the_same_changes() -> None:
    async def scene(stage: Stage) -> None:
        first = stage.talk()
        await first.ask(LISTENER)
        current = (await first.taken()).version_info
        waiting, star, foreign, unknown = (stage.talk() for _ in range(4))
        await waiting.ask(LISTENER, version_info=current)
        await star.ask(LISTENER, "*")
        await foreign.ask(LISTENER, version_info="elsewhere-1")
        await unknown.ask(LISTENER, "c")
        assert await waiting.is_quiet()
        assert names_in(await star.taken()) == ["a", "b"]
        assert names_in(await foreign.taken()) == ["a", "b"]
        assert names_in(await unknown.taken()) == []

        await stage.put(listeners="a b2 c")
        for talk in (waiting, star, foreign):
            assert contents_in(await talk.taken()) == ["a=1", "b=2", "c=1"]
        assert contents_in(await unknown.taken()) == ["c=1"]

        await star.ask(LISTENER, "a")  # everything becomes one name, and one name everything
        await unknown.ask(LISTENER, "*")
        assert names_in(await unknown.taken()) == ["a", "b", "c"]
        await stage.put(listeners="a")
        for talk in (waiting, foreign, unknown):
            assert contents_in(await talk.taken()) == ["a=1"]
        assert await star.is_quiet()

    play(scene, listeners="a b")


@pytest.mark.conforms("L13", "C6")
@both_variants
def test_a_crowd_that_asks_for_one_resource_each_gets_it_once(*, is_delta: bool) -> None:
    """All ask at once while what they ask for is put there and changed."""

    async def scene(stage: Stage) -> None:
        names = [f"r-{chr(97 + at // 26)}{chr(97 + at % 26)}" for at in range(_CROWD)]
        talks = [stage.talk(is_delta=is_delta) for _ in names]

        async def one(at: int) -> None:
            await talks[at].ask(ENDPOINT, names[at])
            assert names_in(await talks[at].taken()) == [names[at]]

        asking = [asyncio.ensure_future(one(at)) for at in range(_CROWD)]
        await stage.put(endpoints=" ".join(names))
        await asyncio.gather(*asking)
        for talk in talks:
            assert await talk.is_quiet()

        for step in range(2, 12):
            await stage.put(endpoints=" ".join(f"{name}{step}" for name in names))
        for talk, name in zip(talks, names, strict=True):
            seen = contents_in(await talk.taken())
            if seen != [f"{name}=11"]:
                assert contents_in(await talk.taken()) == [f"{name}=11"]
            assert await talk.is_quiet()

    play(scene)
