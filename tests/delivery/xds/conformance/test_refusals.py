"""A refused response is parked: not sent again to that client before its content changes."""

from __future__ import annotations

import pytest

from meshc.delivery.xds.protocol.types import (
    CLUSTER,
    ENDPOINT,
    LISTENER,
    SECRET,
    SHORT_NAMES,
    TypeUrl,
)
from tests.delivery.xds.conformance.stage import ALL, NAMES, Stage, both_variants, play
from tests.delivery.xds.streams import contents_in, names_in

_KINDS = dict(zip(NAMES, ALL, strict=True))


@pytest.mark.conforms("nack", "nack-parked")
@pytest.mark.parametrize("type_url", NAMES, ids=_KINDS.get)
@both_variants
def test_what_was_refused_is_not_sent_before_it_changes(
    type_url: TypeUrl, *, is_delta: bool
) -> None:
    async def scene(stage: Stage) -> None:
        talk, other = stage.talk(is_delta=is_delta), stage.talk(is_delta=is_delta)
        for one in (talk, other):
            await one.ask(type_url, *NAMES[type_url])
        await other.taken()
        kind, (first, second) = _KINDS[type_url], NAMES[type_url]

        await talk.refuse(await talk.answer(), "cannot use it")

        for _ in range(3):  # neither at once, nor when the same is published again
            assert await talk.is_quiet()
            await stage.put(**ALL)
        (known,) = [
            one.state.subscriptions[type_url]
            for one in stage.hub
            if one.state.subscriptions[type_url].refusal is not None
        ]
        assert known.refusal == "cannot use it"
        assert await other.is_quiet()

        await stage.put(**ALL | {kind: f"{first}2 {second}"})
        for one in (talk, other):
            assert f"{first}=2" in contents_in(await one.taken())
            assert await one.is_quiet()
        assert known.refusal is None

    play(scene, **ALL)


@pytest.mark.conforms("nack")
@both_variants
def test_going_back_to_what_was_good_is_sent(*, is_delta: bool) -> None:
    """A refusal may have been of a part, so nobody knows what the client has."""

    async def scene(stage: Stage) -> None:
        talk = stage.talk(is_delta=is_delta)
        await talk.ask(LISTENER)
        await talk.taken()
        await stage.put(**ALL | {"listeners": "l2 m"})
        await talk.refuse(await talk.answer())

        await stage.put(**ALL)

        assert "l=1" in contents_in(await talk.taken())
        assert await talk.is_quiet()

    play(scene, **ALL)


@pytest.mark.conforms("nack")
@pytest.mark.parametrize("type_url", NAMES, ids=_KINDS.get)
@both_variants
def test_what_was_refused_once_is_tried_again_after_something_else_was_accepted(
    type_url: TypeUrl, *, is_delta: bool
) -> None:
    """What was in the way may have gone; otherwise the client would keep what is old, unseen."""

    async def scene(stage: Stage) -> None:
        kind, first = _KINDS[type_url], NAMES[type_url][0]
        talk = stage.talk(is_delta=is_delta)
        await talk.ask(type_url, first)
        await talk.taken()
        await stage.put(**{kind: f"{first}2"})
        await talk.refuse(await talk.answer())
        await stage.put(**{kind: f"{first}3"})
        await talk.taken()

        await stage.put(**{kind: f"{first}2"})

        assert contents_in(await talk.answer()) == [f"{first}=2"]

    play(scene, **ALL)


@pytest.mark.conforms("nack")
@both_variants
def test_a_refusal_of_one_type_holds_up_no_other(*, is_delta: bool) -> None:
    async def scene(stage: Stage) -> None:
        talk = stage.talk(is_delta=is_delta)
        await talk.ask(CLUSTER)
        await talk.refuse(await talk.answer())
        for type_url in (ENDPOINT, LISTENER, SECRET):
            await talk.ask(type_url, *NAMES[type_url])
            assert names_in(await talk.taken()) == list(NAMES[type_url])

        assert {SHORT_NAMES[one] for one in stage.hub.counts().refusals} == {"CDS"}

    play(scene, **ALL)


@pytest.mark.conforms("nack")
@both_variants
def test_who_refuses_everything_is_left_alone(*, is_delta: bool) -> None:
    """The reference libraries send it again at once, for ever."""

    async def scene(stage: Stage) -> None:
        talk = stage.talk(is_delta=is_delta)
        for type_url, names in NAMES.items():
            await talk.ask(type_url, *names)
        for _ in NAMES:
            await talk.refuse(await talk.answer())

        assert await talk.is_quiet()
        assert await talk.call.has_silence()
        assert stage.hub.counts().responses.total() - 1 == len(NAMES)
        assert dict(stage.hub.counts().refusals) == dict.fromkeys(NAMES, 1)

    play(scene, **ALL)
