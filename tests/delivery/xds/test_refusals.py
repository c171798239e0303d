"""What clients refuse, with the spec line behind it: in the status, in metrics and in the log."""

from __future__ import annotations

import asyncio
import io
import json
from typing import TYPE_CHECKING, Any

from meshc.delivery.log import Log
from meshc.delivery.xds.process.reporting import Reporter
from meshc.delivery.xds.process.status import describe, overview
from meshc.delivery.xds.protocol.types import CLUSTER, ENDPOINT
from meshc.delivery.xds.services import refusals
from tests.delivery.xds.meshes import make_bundle
from tests.delivery.xds.served import Server, caller, served

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest


def _clusters_refused(folder: Path, *reasons: str, then: Callable[[Server], Any]) -> Any:
    """Let as many clients refuse their clusters, and return what is to be seen of it."""

    async def play() -> Any:
        async with served(make_bundle(folder)) as server, caller(server.port) as client:
            calls = [client.stream("front1") for _ in reasons]
            for call, reason in zip(calls, reasons, strict=True):
                await call.ask(CLUSTER)
                answer = await call.answer()
                await call.ask(CLUSTER, error=reason, response_nonce=answer.nonce)
                await call.has_silence()
            found = then(server)
            for call in calls:
                call.cancel()
            return found

    return asyncio.run(play())


def _counted(server: Server) -> Any:
    return overview(server.serving)["refused"]


def test_only_resources_that_a_spec_is_behind_are_told_apart_in_metrics(tmp_path: Path) -> None:
    reasons = ("outbound/store is bad", "outbound/made-up-1 is bad", "outbound/made-up-2 is bad")

    assert _clusters_refused(tmp_path, *reasons, then=_counted) == [
        {"type": "CDS", "resource": "", "place": "", "clients": 2},
        {"type": "CDS", "resource": "outbound/store", "place": "store.yaml:2:1", "clients": 1},
    ]


def test_of_many_refused_resources_those_that_most_refuse_are_in_metrics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "MOST_COUNTED", 1)
    reasons = ("outbound/app is bad", "outbound/store is bad", "outbound/store is worse")

    assert _clusters_refused(tmp_path, *reasons, then=_counted) == [
        {"type": "CDS", "resource": "outbound/store", "place": "store.yaml:2:1", "clients": 2}
    ]


def test_the_log_names_resource_and_spec_line(tmp_path: Path) -> None:
    said = io.StringIO()

    def look(server: Server) -> None:
        Reporter(server.serving, Log(said, is_json=True)).look()

    _clusters_refused(tmp_path, "outbound/store is bad", then=look)

    (line,) = map(json.loads, said.getvalue().splitlines())
    assert (line["event"], line["node"], line["type"]) == ("refused", "front1", "CDS")
    assert line["reason"] == "outbound/store is bad"
    assert (line["resource"], line["place"]) == ("outbound/store", "store.yaml:2:1")


def test_every_resource_that_a_client_names_is_told_with_its_line(tmp_path: Path) -> None:
    reason = "outbound/store: no file\noutbound/app: no file\noutbound/store: no file\n"
    said = io.StringIO()

    def seen(server: Server) -> Any:
        Reporter(server.serving, Log(said, is_json=True)).look()
        (stream,) = describe(server.serving)["streams"]
        return stream["types"]["CDS"], overview(server.serving)["refused"]

    kind, counts = _clusters_refused(tmp_path, reason, then=seen)

    assert kind["resources"] == [
        {"resource": "outbound/store", "place": "store.yaml:2:1"},
        {"resource": "outbound/app", "place": "app.yaml:2:1"},
    ]
    assert kind["resource"] == "outbound/store, outbound/app"
    assert kind["place"] == "store.yaml:2:1, app.yaml:2:1"
    assert [one["resource"] for one in counts] == ["outbound/app", "outbound/store"]
    (line,) = map(json.loads, said.getvalue().splitlines())
    assert line["place"] == "store.yaml:2:1, app.yaml:2:1"


def test_a_refusal_without_a_name_is_of_the_one_resource_that_was_sent(tmp_path: Path) -> None:
    async def play() -> dict[str, Any]:
        async with served(make_bundle(tmp_path)) as server, caller(server.port) as client:
            call = client.stream("front1")
            await call.ask(ENDPOINT, resource_names=["app"])
            answer = await call.answer()
            refusal = {"error": "no", "response_nonce": answer.nonce, "resource_names": ["app"]}
            await call.ask(ENDPOINT, **refusal)
            await call.has_silence()
            (found,) = describe(server.serving)["streams"]
            call.cancel()
            return dict(found["types"]["EDS"])

    said = asyncio.run(play())

    assert (said["reason"], said["resource"], said["place"]) == ("no", "app", "app.yaml:2:1")
