"""A server of both variants, seen from outside: types, nonces, nodes, and how streams end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import pytest

from meshc.delivery.xds.protocol.types import CLUSTER, ENDPOINT, LISTENER, SECRET
from tests.delivery.xds.conformance.stage import ALL, NAMES, SINGLE, Stage, both_variants, play
from tests.delivery.xds.served import until
from tests.delivery.xds.streams import THING, contents_in, names_in

if TYPE_CHECKING:
    from typing import Any


def _types(response: Any) -> set[str]:
    return {getattr(one, "resource", one).type_url for one in response.resources}


@pytest.mark.conforms("S2", "D1", "D2", "J9")
@pytest.mark.parametrize("is_named", [False, True], ids=["wildcard", "named"])
@both_variants
def test_each_service_of_one_type_answers_once(*, is_delta: bool, is_named: bool) -> None:
    async def scene(stage: Stage) -> None:
        talks = {only: stage.talk(only=only, is_delta=is_delta) for only in SINGLE}
        for only, talk in talks.items():
            await talk.ask(only, *(NAMES[only] if is_named else ()))

        for only, talk in talks.items():
            response = await talk.answer()
            assert response.nonce == "1"
            assert response.type_url == only
            assert _types(response) == {only}
            assert names_in(response) == list(NAMES[only])
            assert response.system_version_info if is_delta else response.version_info
            await talk.accept(response)
        assert all(await asyncio.gather(*(talk.call.has_silence() for talk in talks.values())))
        assert dict(stage.hub.counts().responses) == dict.fromkeys(SINGLE, 1)

    play(scene, **ALL)


@pytest.mark.conforms("S6", "D4", "J9")
@both_variants
def test_one_aggregated_stream_answers_every_type_once(*, is_delta: bool) -> None:
    """The node comes with the first request alone."""

    async def scene(stage: Stage) -> None:
        talk = stage.talk(is_delta=is_delta)
        for type_url, names in NAMES.items():
            await talk.ask(type_url, *names)
            response = await talk.taken()
            assert response.type_url == type_url
            assert names_in(response) == list(names)

        assert stage.hub.counts().responses == dict.fromkeys(SINGLE, 1)
        assert await talk.is_quiet()

    play(scene, **ALL)


@pytest.mark.conforms("S8", "D3", "type-url")
@both_variants
def test_an_aggregated_request_without_a_type_ends_the_stream(*, is_delta: bool) -> None:
    async def scene(stage: Stage) -> None:
        talk = stage.talk(is_delta=is_delta)
        await talk.ask("")

        code, details = await talk.call.status()
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert details == "type URL is required for aggregated streams"

    play(scene, **ALL)


@pytest.mark.conforms("type-url", "wrong-type-on-single")
@both_variants
def test_another_type_on_a_stream_of_one_type_ends_it(*, is_delta: bool) -> None:
    async def scene(stage: Stage) -> None:
        for only in SINGLE:
            talk = stage.talk(only=only, is_delta=is_delta)
            other = LISTENER if only != LISTENER else CLUSTER
            await talk.ask(other)

            code, details = await talk.call.status()
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert details == f'this stream is for "{only}", not "{other}"'

    play(scene, **ALL)


@pytest.mark.conforms("type-url")
@both_variants
def test_a_stream_of_one_type_knows_its_type(*, is_delta: bool) -> None:
    async def scene(stage: Stage) -> None:
        for only in SINGLE:
            talk = stage.talk(only=only, is_delta=is_delta)
            await talk.ask("")
            assert (await talk.answer()).type_url == only

    play(scene, **ALL)


@pytest.mark.conforms("unknown-node", "C1", "C2")
@both_variants
def test_an_unknown_node_is_refused_by_name(*, is_delta: bool) -> None:
    async def scene(stage: Stage) -> None:
        for only in (None, CLUSTER):
            talk = stage.talk("other", is_delta=is_delta, only=only)
            await talk.ask(CLUSTER)

            code, details = await talk.call.status()
            assert code is grpc.StatusCode.NOT_FOUND
            assert details == 'there is no node "other"'

    play(scene, **ALL)


@pytest.mark.conforms("C5")
def test_a_node_that_was_unknown_is_served_once_it_is_there() -> None:
    async def scene(stage: Stage) -> None:
        early = stage.talk("late")
        await early.ask(CLUSTER)
        assert (await early.call.status())[0] is grpc.StatusCode.NOT_FOUND
        await stage.put_for(n=ALL, late={"clusters": "c"})

        talk = stage.talk("late")
        await talk.ask(CLUSTER)

        assert names_in(await talk.answer()) == ["c"]

    play(scene, **ALL)


@pytest.mark.conforms("unknown-node")
@both_variants
def test_a_stream_has_one_node_which_its_first_request_names(*, is_delta: bool) -> None:
    async def scene(stage: Stage) -> None:
        nameless, changing = stage.talk("", is_delta=is_delta), stage.talk("n", is_delta=is_delta)
        await nameless.ask(CLUSTER)
        await changing.ask(CLUSTER)
        await changing.taken()
        await changing.call.ask(CLUSTER, node={"id": "m"})

        assert await nameless.call.status() == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "the first request must name its node",
        )
        assert await changing.call.status() == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "the node of a stream cannot change",
        )

    play(scene, **ALL)


@pytest.mark.conforms("S5", "stale-nonce")
def test_a_request_with_a_stale_nonce_is_ignored() -> None:
    async def scene(stage: Stage) -> None:
        talk = stage.talk()
        await talk.ask(ENDPOINT, "e-a")
        first = await talk.answer()
        await talk.ask(ENDPOINT, "e-a", "e-b", response_nonce="xyz")
        assert await talk.is_quiet()
        await talk.ask(ENDPOINT, "e-a", response_nonce="xyz", error="about another response")
        assert await talk.is_quiet()

        await talk.ask(ENDPOINT, "e-a", "e-b", response_nonce=first.nonce)

        assert names_in(await talk.taken()) == ["e-b"]
        assert not stage.hub.counts().refusals

    play(scene, **ALL)


@pytest.mark.conforms("stale-nonce")
def test_a_stale_nonce_in_delta_answers_nothing_and_its_names_count() -> None:
    """What a client subscribes to is said once in delta, with whatever nonce it has."""

    async def scene(stage: Stage) -> None:
        talk = stage.talk(is_delta=True)
        await talk.ask(ENDPOINT, "e-a")
        first = await talk.answer()
        await talk.ask(ENDPOINT, "e-b", response_nonce="xyz")
        assert await talk.is_quiet()

        await talk.accept(first)

        assert names_in(await talk.answer()) == ["e-b"]

    play(scene, **ALL)


@pytest.mark.conforms("S7")
def test_what_is_no_longer_asked_for_is_not_sent_late() -> None:
    async def scene(stage: Stage) -> None:
        talk = stage.talk()
        await talk.ask(SECRET, "late")
        await talk.ask(SECRET)
        await stage.put(secrets="late")
        assert await talk.is_quiet()

        await talk.ask(SECRET, "late")
        await talk.answer()
        await stage.put(secrets="late2")
        await talk.ask(SECRET)
        assert await talk.is_quiet()

    play(scene, **ALL)


@pytest.mark.conforms("S10", "D5")
@both_variants
def test_types_that_nobody_knows_are_held_without_an_error(*, is_delta: bool) -> None:
    async def scene(stage: Stage) -> None:
        talk = stage.talk(is_delta=is_delta)
        for number in range(10):
            for kind in ("one", "other"):
                await talk.ask(f"type.googleapis.com/tests.{kind}", f"name-{number}")

        assert await talk.is_quiet()
        await talk.ask(CLUSTER)
        assert (await talk.taken()).type_url == CLUSTER

    play(scene, **ALL)


@pytest.mark.conforms("C11", "S2")
@both_variants
def test_a_type_of_which_only_the_bundle_knows_is_served_as_any_other(*, is_delta: bool) -> None:
    async def scene(stage: Stage) -> None:
        talk = stage.talk(is_delta=is_delta)
        await talk.ask(THING, "one", "absent")
        assert names_in(await talk.taken()) == ["one"]

        await stage.put(things="one2 two")

        assert contents_in(await talk.taken()) == ["one=2"]
        assert await talk.is_quiet()

    play(scene, things="one two")


@pytest.mark.conforms("S9", "D5", "C7")
@both_variants
def test_nothing_is_left_of_streams_that_have_ended(*, is_delta: bool) -> None:
    async def scene(stage: Stage) -> None:
        first = stage.talk()
        await first.ask(CLUSTER)
        await first.taken()
        before = len(asyncio.all_tasks())
        talks = {only: stage.talk(only=only, is_delta=is_delta) for only in SINGLE}
        for only, talk in talks.items():
            await talk.ask(only, *NAMES[only])
            await talk.answer()
        assert len(stage.hub) == 1 + len(SINGLE)

        for talk in talks.values():
            talk.call.cancel()

        await until(lambda: len(stage.hub) == 1)
        await until(lambda: len(asyncio.all_tasks()) <= before)
        assert list(stage.hub.nodes()) == ["n"]

    play(scene, **ALL)
