"""A connected node that leaves the mesh, and is put back."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

import pytest

from meshc.delivery.xds.process.status import describe
from meshc.delivery.xds.protocol.types import CLUSTER, ENDPOINT
from tests.delivery.xds.meshes import APP, SECOND_HOST, SMALL, STORE, make_bundle
from tests.delivery.xds.served import caller, served

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.conforms("reconnect")
def test_a_node_that_is_put_back_hears_what_has_changed_meanwhile(tmp_path: Path) -> None:
    whole = make_bundle(tmp_path / "whole")
    rest = make_bundle(tmp_path / "rest", {"app": APP, "store": STORE})
    back = make_bundle(tmp_path / "back", SMALL | {"app": APP + SECOND_HOST})
    shutil.copytree(whole, tmp_path / "served")

    async def run() -> None:
        async with served(tmp_path / "served") as server, caller(server.port) as client:
            call = client.stream("front1")
            for type_url, names in ((CLUSTER, []), (ENDPOINT, ["app", "store"])):
                await call.ask(type_url, resource_names=names)
                await call.acknowledge(await call.answer(), resource_names=names)
            await server.put(rest)

            await server.put(back)

            answer = await call.answer()
            assert answer.type_url == ENDPOINT
            assert len(answer.resources) == 1
            assert b"127.0.9.3" in answer.resources[0].value
            (before,) = describe(server.serving)["streams"]
            assert (before["problem"], before["is_settled"]) == ("", False)
            await call.acknowledge(answer, resource_names=["app", "store"])
            assert await call.has_silence()
            (after,) = describe(server.serving)["streams"]
            assert (after["is_settled"], after["responses"]) == (True, 3)
            call.cancel()

    asyncio.run(run())
