"""What one node should have, as it changes: which types are sent again, and which are not."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from meshc.delivery.xds.protocol.types import CLUSTER, ENDPOINT, LISTENER, ROUTE
from tests.delivery.xds.conformance.stage import ALL, NAMES, Stage, Talk, both_variants, play
from tests.delivery.xds.streams import contents_in, names_in

if TYPE_CHECKING:
    from typing import Any

    from meshc.delivery.xds.protocol.types import TypeUrl

_KINDS = dict(zip(NAMES, ALL, strict=True))
"""Types, and how they are called here."""
_RESPONSES = 60


async def _subscribed(stage: Stage, *, is_delta: bool) -> Talk:
    """A client that asks for both resources of every type."""
    talk = stage.talk(is_delta=is_delta)
    for type_url, names in NAMES.items():
        await talk.ask(type_url, *names)
    return talk


async def _settled(stage: Stage, *, is_delta: bool) -> Talk:
    """A client that has them all."""
    talk = await _subscribed(stage, is_delta=is_delta)
    for _ in NAMES:
        await talk.taken()
    assert await talk.is_quiet()
    return talk


@pytest.mark.conforms("C1")
@both_variants
def test_each_type_is_answered_with_its_version_and_exactly_what_was_asked_for(
    *, is_delta: bool
) -> None:
    async def scene(stage: Stage) -> None:
        talk = stage.talk(is_delta=is_delta)
        versions = set()
        for type_url, (first, _) in NAMES.items():
            await talk.ask(type_url, first)
            response = await talk.taken()
            assert contents_in(response) == [f"{first}=1"]
            version = response.system_version_info if is_delta else response.version_info
            versions.add(version)
        assert "" not in versions
        assert len(versions) == len(NAMES)

    play(scene, **ALL)


@pytest.mark.conforms("C3", "J6")
@both_variants
def test_who_asked_before_there_was_anything_is_told_when_there_is(*, is_delta: bool) -> None:
    async def scene(stage: Stage) -> None:
        talk = await _subscribed(stage, is_delta=is_delta)
        if not is_delta:  # lists are answered with nothing at once
            for type_url in (CLUSTER, LISTENER):
                response = await talk.taken()
                assert (response.type_url, names_in(response)) == (type_url, [])
        assert await talk.is_quiet()

        await stage.put(**ALL)

        found = {}
        for _ in NAMES:
            response = await talk.taken()
            found[response.type_url] = tuple(names_in(response))
        assert found == NAMES
        assert await talk.is_quiet()

    play(scene)


@pytest.mark.conforms("C3", "J5", "version")
@both_variants
def test_the_same_again_is_no_news_whoever_asks_once_more(*, is_delta: bool) -> None:
    async def scene(stage: Stage) -> None:
        talk = await _settled(stage, is_delta=is_delta)
        for _ in range(3):
            await stage.put(**ALL)
            if not is_delta:  # in delta, asking again is asking for it again
                for type_url, names in NAMES.items():
                    await talk.ask(type_url, *names)
            assert await talk.is_quiet()

    play(scene, **ALL)


@pytest.mark.conforms("C3", "C12", "J10")
@pytest.mark.parametrize("type_url", [one for one in NAMES if one != CLUSTER], ids=_KINDS.get)
@both_variants
def test_only_the_type_that_changed_is_sent(type_url: TypeUrl, *, is_delta: bool) -> None:
    async def scene(stage: Stage) -> None:
        talk = await _settled(stage, is_delta=is_delta)
        kind, (first, second) = _KINDS[type_url], NAMES[type_url]

        await stage.put(**ALL | {kind: f"{first}2 {second}"})

        response = await talk.taken()
        assert response.type_url == type_url
        assert f"{first}=2" in contents_in(response)
        assert await talk.is_quiet()

    play(scene, **ALL)


@pytest.mark.conforms("J10", "version")
def test_the_version_of_a_type_depends_on_that_type_alone() -> None:
    async def versions(stage: Stage) -> dict[str, str]:
        talk = await _subscribed(stage, is_delta=False)
        found = {}
        for _ in NAMES:
            response = await talk.taken()
            found[response.type_url] = response.version_info
        talk.call.cancel()
        return found

    async def scene(stage: Stage) -> None:
        before = await versions(stage)
        await stage.put(**ALL | {"listeners": "l2 m"})
        between = await versions(stage)
        await stage.put(**ALL)
        after = await versions(stage)

        assert {one for one in before if before[one] != between[one]} == {LISTENER}
        assert after == before

    play(scene, **ALL)


@pytest.mark.conforms("C9", "J4")
def test_a_further_name_is_answered_at_the_same_version_if_it_is_known() -> None:
    async def scene(stage: Stage) -> None:
        talk = stage.talk()
        for type_url, (first, _) in NAMES.items():
            await talk.ask(type_url, first)
            await talk.taken()
        for type_url, (first, second) in NAMES.items():
            await talk.ask(type_url, first, second)
            assert second in names_in(await talk.taken())
            await talk.ask(type_url, first, second)
            assert await talk.is_quiet()
            await talk.ask(type_url, first, second, "unknown")
            assert await talk.is_quiet()

    play(scene, **ALL)


@pytest.mark.conforms("C13", "L8")
def test_what_has_gone_is_named_and_no_longer_counted_as_had() -> None:
    async def scene(stage: Stage) -> None:
        talk = stage.talk(is_delta=True)
        await talk.ask(LISTENER)
        await talk.taken()
        (stream,) = stage.hub
        assert set(stream.state.subscriptions[LISTENER].has) == {"l", "m"}

        await stage.put(**ALL | {"listeners": "m"})

        response = await talk.taken()
        assert (names_in(response), list(response.removed_resources)) == ([], ["l"])
        assert await talk.is_quiet()
        assert set(stream.state.subscriptions[LISTENER].has) == {"m"}

    play(scene, **ALL)


@pytest.mark.conforms("one-generation")
@both_variants
def test_a_push_is_of_one_generation_however_often_it_is_overtaken(*, is_delta: bool) -> None:
    """Each resource says of which generation it is; the server switches while it sends."""
    kinds = {"clusters": "a b", "endpoints": "e-a e-b", "listeners": "l m", "routes": "r s"}
    types = (CLUSTER, ENDPOINT, LISTENER, ROUTE)

    def of(generation: int) -> dict[str, str]:
        return {
            kind: " ".join(f"{name}{generation}" for name in names.split())
            for kind, names in kinds.items()
        }

    def generation_of(response: Any) -> str:
        (found,) = {content.partition("=")[2] for content in contents_in(response)}
        return found

    async def scene(stage: Stage) -> None:
        talk = stage.talk(is_delta=is_delta)
        for type_url in types:
            await talk.ask(type_url, *NAMES[type_url])
        luck, last, received = random.Random(6), 1, 0

        async def switch() -> None:
            nonlocal last
            while received < _RESPONSES:
                last += 1
                await stage.put(**of(last))
                for _ in range(luck.randrange(40)):
                    await asyncio.sleep(0)

        switching = asyncio.ensure_future(switch())
        has: dict[str, str] = {}
        while received < _RESPONSES or has != dict.fromkeys(types, str(last)):
            response = await talk.answer()
            received += 1
            has[response.type_url] = generation_of(response)
            if response.type_url != CLUSTER:
                # What leads to clusters is of the same generation as they are.
                assert has[response.type_url] == has[CLUSTER]
            await talk.accept(response)
        await switching
        assert await talk.is_quiet()

    play(scene, **of(1))
