"""Clients that do not read, and very many of them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from meshc.delivery.xds.protocol.types import CLUSTER, ENDPOINT
from meshc.delivery.xds.transport.limits import Limits
from tests.delivery.xds.conformance.stage import Stage, Talk, both_variants, play, play_within
from tests.delivery.xds.served import SILENCE_S, caller
from tests.delivery.xds.streams import contents_in, names_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Any

    from tests.delivery.xds.served import Caller

_MANY = 2000
_ON_A_CONNECTION = 100
_OWN_CONNECTION = {
    "grpc.use_local_subchannel_pool": 1,
    "grpc.max_receive_message_length": -1,
    "grpc.http2.lookahead_bytes": 64 * 1024,
}
_LARGE = 2_000_000
"""More than a connection takes while nobody reads."""


@contextlib.asynccontextmanager
async def _connection(stage: Stage) -> AsyncIterator[Caller]:
    async with caller(stage.port, options=_OWN_CONNECTION) as found:
        yield found


@pytest.mark.conforms("slow-reader", "C8")
@both_variants
def test_who_does_not_read_holds_up_nobody_and_gets_the_newest_once_it_does(
    *, is_delta: bool
) -> None:
    async def scene(stage: Stage) -> None:
        await stage.put(endpoints=f"a{_LARGE * '1'}")
        async with _connection(stage) as slowly:
            slow, quick = stage.talk(is_delta=is_delta, client=slowly), stage.talk()
            await slow.ask(ENDPOINT, "a")
            await quick.ask(ENDPOINT, "a")
            await quick.taken()
            for step in range(2, 12):
                await stage.put(endpoints=f"a{step}{_LARGE * '1'}")
                assert contents_in(await quick.taken())[0].startswith(f"a={step}1")

            await slow.taken()

            assert contents_in(await slow.taken())[0].startswith("a=111")
            assert await slow.is_quiet()

    play(scene)


@pytest.mark.conforms("many-nodes", "C6")
def test_thousands_of_nodes_each_hear_of_a_change_of_their_own_and_no_other() -> None:
    async def scene(stage: Stage) -> None:
        nodes = [f"n-{number}" for number in range(_MANY)]
        state = {node: {"clusters": "a", "endpoints": "e-a"} for node in nodes}
        await stage.put_for(**state)
        async with contextlib.AsyncExitStack() as stack:
            talks: dict[str, Talk] = {}
            for at in range(0, _MANY, _ON_A_CONNECTION):
                client = await stack.enter_async_context(_connection(stage))
                for node in nodes[at : at + _ON_A_CONNECTION]:
                    talks[node] = stage.talk(node, client=client)

            async def begin(talk: Talk) -> None:
                await talk.ask(CLUSTER)
                assert names_in(await talk.taken()) == ["a"]

            await asyncio.gather(*map(begin, talks.values()))
            assert len(stage.hub.nodes()) == _MANY
            changed = nodes[::2]

            await stage.put_for(**state | {node: {"clusters": "a2"} for node in changed})

            for node in changed:
                assert contents_in(await talks[node].taken()) == ["a=2"]
            assert all(await asyncio.gather(*(talk.is_quiet() for talk in talks.values())))
            for talk in talks.values():
                talk.call.cancel()

    play(scene)


@pytest.mark.conforms("limits")
def test_a_connection_has_so_many_streams_and_the_next_waits_for_one_to_end() -> None:
    async def scene(stage: Stage) -> None:
        async def asked() -> Any:
            talk = stage.talk()
            await talk.ask(CLUSTER)
            return await talk.taken()

        first = stage.talk()
        await first.ask(CLUSTER)
        await first.taken()
        await asked()
        asking = asyncio.ensure_future(asked())
        await asyncio.wait({asking}, timeout=SILENCE_S)
        assert not asking.done()
        assert len(stage.hub) == 2

        first.call.cancel()

        assert names_in(await asking) == ["a"]

    play_within(Limits(streams=2), scene, clusters="a")
