"""Delta: what is sent, what is named as gone, and what a client says that it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshc.delivery.xds.protocol.types import CLUSTER, ENDPOINT, LISTENER
from tests.delivery.xds.conformance.stage import ALL, NAMES, Stage, play
from tests.delivery.xds.streams import contents_in, names_in, resource

if TYPE_CHECKING:
    from meshc.delivery.xds.protocol.types import TypeUrl


@pytest.mark.conforms("D6", "U3")
def test_a_first_request_without_names_is_everything_until_the_star_goes() -> None:
    async def scene(stage: Stage) -> None:
        talk = stage.talk(is_delta=True)
        await talk.ask(CLUSTER)
        assert names_in(await talk.taken()) == ["a", "b", "c", "d"]
        await talk.ask(CLUSTER, "a")
        assert names_in(await talk.taken()) == ["a"]
        await stage.put(clusters="a2 b2 c2 d2")
        assert names_in(await talk.taken()) == ["a", "b", "c", "d"]

        await talk.drop(CLUSTER, "*")

        await stage.put(clusters="a3 b3 c3 d3")
        assert contents_in(await talk.taken()) == ["a=3"]
        assert await talk.is_quiet()

    play(scene, clusters="a b c d")


@pytest.mark.conforms("D7", "U4")
def test_a_name_then_the_star_then_another_name() -> None:
    async def scene(stage: Stage) -> None:
        talk = stage.talk(is_delta=True)
        await talk.ask(CLUSTER, "a")
        assert names_in(await talk.taken()) == ["a"]
        await talk.ask(CLUSTER, "*")
        assert names_in(await talk.taken()) == ["b", "c", "d"]
        await talk.ask(CLUSTER, "b")
        assert names_in(await talk.taken()) == ["b"]
        await stage.put(clusters="a2 b2 c2 d2")
        assert names_in(await talk.taken()) == ["a", "b", "c", "d"]

        await talk.drop(CLUSTER, "*")

        await stage.put(clusters="a3 b3 c3 d3")
        assert contents_in(await talk.taken()) == ["a=3", "b=3"]
        assert await talk.is_quiet()

    play(scene, clusters="a b c d")


@pytest.mark.conforms("D8", "U3", "U4")
@pytest.mark.parametrize("first", [(), ("*",)], ids=["legacy", "explicit"])
def test_a_name_dropped_under_the_star_is_sent_again_or_named_as_gone(
    first: tuple[str, ...],
) -> None:
    async def scene(stage: Stage) -> None:
        talk = stage.talk(is_delta=True)
        await talk.ask(CLUSTER, *first)
        await talk.taken()
        await talk.ask(CLUSTER, "a", "missing")
        await talk.taken()

        await talk.drop(CLUSTER, "a", "missing", "never-asked-for")

        response = await talk.taken()
        assert names_in(response) == ["a"]
        assert list(response.removed_resources) == ["missing"]
        await stage.put(clusters="a2 b2")
        assert names_in(await talk.taken()) == ["a", "b"]

    play(scene, clusters="a b")


@pytest.mark.conforms("U4")
def test_dropping_everything_asks_for_nothing() -> None:
    async def scene(stage: Stage) -> None:
        talk = stage.talk(is_delta=True)
        await talk.ask(CLUSTER, "*", "a")
        await talk.taken()
        await talk.drop(CLUSTER, "*")
        await talk.drop(CLUSTER, "a")
        await talk.ask(CLUSTER)
        await stage.put(clusters="a2 b2")
        assert await talk.is_quiet()

        await talk.ask(CLUSTER, "*")

        assert contents_in(await talk.taken()) == ["a=2", "b=2"]

    play(scene, clusters="a b")


@pytest.mark.conforms("subscribe-again", "resubscribe")
@pytest.mark.parametrize(("type_url", "names"), NAMES.items())
def test_a_known_name_that_is_asked_for_again_is_sent_again(
    type_url: TypeUrl, names: tuple[str, str]
) -> None:
    name = names[0]

    async def scene(stage: Stage) -> None:
        talk = stage.talk(is_delta=True)
        for _ in range(3):
            await talk.ask(type_url, name)
            assert names_in(await talk.taken()) == [name]
        await talk.drop(type_url, name)
        assert await talk.is_quiet()

        await talk.ask(type_url, name)

        assert names_in(await talk.taken()) == [name]

    play(scene, **ALL)


@pytest.mark.conforms("subscribe-again", "resubscribe")
@pytest.mark.parametrize("is_dropped", [False, True], ids=["again", "dropped before"])
def test_a_name_asked_for_again_before_its_answer_is_accepted_is_sent_again(
    *, is_dropped: bool
) -> None:
    """The client may have read the answer before it asked again."""

    async def scene(stage: Stage) -> None:
        talk = stage.talk(is_delta=True)
        await talk.ask(ENDPOINT, "e-a")
        response = await talk.answer()
        if is_dropped:
            await talk.drop(ENDPOINT, "e-a")
        await talk.ask(ENDPOINT, "e-a")
        await talk.accept(response)

        assert names_in(await talk.taken()) == ["e-a"]
        assert await talk.is_quiet()

    play(scene, **ALL)


@pytest.mark.conforms("U4")
@pytest.mark.parametrize("is_refused", [False, True], ids=["accepted", "refused"])
def test_what_was_dropped_before_its_answer_is_accepted_is_not_named_as_gone(
    *, is_refused: bool
) -> None:
    async def scene(stage: Stage) -> None:
        talk = stage.talk(is_delta=True)
        await talk.ask(ENDPOINT, "e-a", "e-b")
        response = await talk.answer()
        await talk.drop(ENDPOINT, "e-a")
        await (talk.refuse if is_refused else talk.accept)(response)

        assert await talk.is_quiet()

    play(scene, **ALL)


@pytest.mark.conforms("L6", "absent-type")
def test_everything_of_nothing_is_answered_at_once_and_what_comes_goes_to_all() -> None:
    """An Envoy would wait for its time limit otherwise."""

    async def scene(stage: Stage) -> None:
        talks = [stage.talk(is_delta=True) for _ in range(2)]
        for talk in talks:
            for type_url in NAMES:
                await talk.ask(type_url)
                response = await talk.taken()
                assert (response.type_url, names_in(response)) == (type_url, [])
                assert list(response.removed_resources) == []
            assert await talk.is_quiet()

        await stage.put(secrets="s")

        for talk in talks:
            assert names_in(await talk.taken()) == ["s"]
            assert await talk.is_quiet()

    play(scene)


@pytest.mark.conforms("L7", "U3", "version")
def test_what_a_client_has_already_is_not_sent() -> None:
    async def scene(stage: Stage) -> None:
        right = {name: resource(ENDPOINT, name).version for name in ("a", "b")}
        some, every = stage.talk(is_delta=True), stage.talk(is_delta=True)

        await some.ask(ENDPOINT, "a", "b", "absent", initial_resource_versions={"a": right["a"]})
        assert names_in(await some.taken()) == ["b"]

        await every.ask(ENDPOINT, "a", "b", initial_resource_versions=right)
        assert await every.is_quiet()
        await stage.put(endpoints="a b2 c")
        assert contents_in(await every.taken()) == ["b=2"]

    play(scene, endpoints="a b c")


@pytest.mark.conforms("reconnect", "delta-reconnect")
@pytest.mark.parametrize("names", [(), ("a", "b", "gone")], ids=["wildcard", "named"])
def test_a_client_that_comes_back_hears_what_has_gone(names: tuple[str, ...]) -> None:
    async def scene(stage: Stage) -> None:
        before = stage.talk(is_delta=True)
        await before.ask(LISTENER, *names)
        known = {one.name: one.version for one in (await before.taken()).resources}
        before.call.cancel()
        await stage.put(listeners="a b2")

        after = stage.talk(is_delta=True)
        await after.ask(LISTENER, *names, initial_resource_versions=known)

        response = await after.taken()
        assert contents_in(response) == ["b=2"]
        assert list(response.removed_resources) == ["gone"]
        assert await after.is_quiet()

    play(scene, listeners="a b gone")


@pytest.mark.conforms("L8", "C12", "C13")
def test_updates_removals_and_returns_come_as_they_are_and_in_one_response() -> None:
    async def scene(stage: Stage) -> None:
        named, every = stage.talk(is_delta=True), stage.talk(is_delta=True)
        await named.ask(LISTENER, "a", "b", "later")
        await every.ask(LISTENER, "*")
        assert names_in(await named.taken()) == ["a", "b"]
        assert names_in(await every.taken()) == ["a", "b", "c"]

        await stage.put(listeners="a2 c later")
        for talk, removed in ((named, ["b"]), (every, ["b"])):
            response = await talk.taken()
            assert contents_in(response) == ["a=2", "later=1"]
            assert list(response.removed_resources) == removed

        await stage.put(listeners="a2 c2 later")
        assert await named.is_quiet()
        assert contents_in(await every.taken()) == ["c=2"]

        await stage.put(listeners="a2 b c2 later")
        for talk in (named, every):
            response = await talk.taken()
            assert contents_in(response) == ["b=1"]
            assert list(response.removed_resources) == []
            assert await talk.is_quiet()

    play(scene, listeners="a b c")


@pytest.mark.conforms("C12")
def test_after_the_star_only_named_types_that_changed_are_sent() -> None:
    async def scene(stage: Stage) -> None:
        talk = stage.talk(is_delta=True)
        for type_url, names in NAMES.items():
            await talk.ask(type_url)
            await talk.taken()
            await talk.ask(type_url, names[0])
            await talk.taken()
            await talk.drop(type_url, "*")

        await stage.put(**ALL | {"endpoints": "e-a2 e-b2"})

        assert contents_in(await talk.taken()) == ["e-a=2"]
        assert await talk.is_quiet()

    play(scene, **ALL)


@pytest.mark.conforms("L2", "U4")
def test_names_that_do_not_exist_are_silent_until_they_do() -> None:
    async def scene(stage: Stage) -> None:
        talk = stage.talk(is_delta=True)
        await talk.ask(ENDPOINT, "later")
        assert await talk.is_quiet()

        await stage.put(endpoints="later")

        assert names_in(await talk.taken()) == ["later"]

    play(scene, endpoints="a")
