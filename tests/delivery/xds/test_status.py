"""What is said of a server: to people in an order, to Prometheus in its format."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

import meshc
from meshc.delivery.xds.process.metrics import heads, metrics
from meshc.delivery.xds.process.render import render, verdict
from meshc.delivery.xds.process.status import describe, overview
from meshc.delivery.xds.protocol.types import CLUSTER, ENDPOINT, LISTENER
from tests.delivery.exposition import parsed
from tests.delivery.xds.meshes import make_bundle
from tests.delivery.xds.served import Server, caller, served, until

_NOW = 10_000.0


def _plain(text: str, _kind: str) -> str:
    return text


def _stream(node: str, state: str = "acknowledged", **facts: Any) -> dict[str, Any]:
    kind = {"state": state, "sent": "v2", "acknowledged": "v1"}
    if state == "refused":
        kind |= {"reason": "no\x1b[2J", "resource": "", "place": "web.yaml:3:1"}
    return {
        "node": node,
        "address": "127.0.0.1:9",
        "since": _NOW - 300,
        "problem": "",
        "is_settled": state == "acknowledged",
        "types": {"CDS": kind},
    } | facts


def _status(*streams: dict[str, Any], **facts: Any) -> dict[str, Any]:
    return {
        "generation": "0123456789abcdef",
        "mesh": "shop",
        "listen": "127.0.0.1:1",
        "tls": False,
        "loaded": _NOW - 60,
        "problem": "",
        "certificate_problem": "",
        "memory_problem": "",
        "connections": len(streams),
        "turned_away": 0,
        "handshake_failures": 0,
        "streams": list(streams),
    } | facts


def _nodes(lines: list[str]) -> list[str]:
    return [line.split()[0] for line in lines if "since" in line]


def test_trouble_is_shown_first_and_the_rest_is_counted() -> None:
    status = _status(
        *(_stream(f"n{number:02}") for number in range(30)),
        _stream("waits", "waiting"),
        _stream("left", problem="there is no node left"),
        _stream("refuses", "refused"),
    )

    lines = list(render(status, _plain, limit=5, now=_NOW))

    assert lines[0] == "REFUSED by 1 of 33 nodes: refuses"
    assert _nodes(lines) == ["left", "refuses", "waits", "n00", "n01"]
    assert lines[-1] == "  … and 28 more streams: --all, or --node NAME"
    assert "  left  127.0.0.1:9  since 5 min" in lines
    assert "         no [2J (web.yaml:3:1)" in lines
    assert len(_nodes(list(render(status, _plain, now=_NOW)))) == 33


def test_one_node_is_told_of_alone() -> None:
    status = _status(_stream("web1"), _stream("web2", "refused"), _stream("web1"))

    assert verdict(status, "web1") == ("OK: generation 0123456789ab, 1 nodes connected", True)
    assert verdict(status, "web2") == ("REFUSED by 1 of 1 nodes: web2", False)
    assert verdict(status, "web3") == ("NOT CONNECTED: web3", False)
    assert _nodes(list(render(status, _plain, node="web1", now=_NOW))) == ["web1", "web1"]


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"problem": "no source"}, "SERVES AN OLD GENERATION 0123456789ab: no source"),
        ({"memory_problem": "9 of 9 MiB"}, "MEMORY IS SHORT: 9 of 9 MiB"),
        ({"certificate_problem": "no key"}, "CERTIFICATES ARE NOT RENEWED: no key"),
    ],
)
def test_a_problem_of_the_server_is_the_first_line(facts: dict[str, str], said: str) -> None:
    assert verdict(_status(_stream("web1"), **facts)) == (said, False)


async def _counted(server: Server) -> None:
    """A stream that takes clusters and refuses endpoints, and asks for something unheard of."""
    async with caller(server.port) as client:
        call = client.stream("front1")
        await call.ask(CLUSTER)
        await call.acknowledge(await call.answer())
        await call.ask(ENDPOINT, resource_names=["app"])
        answer = await call.answer()
        refusal = {"error": "no", "response_nonce": answer.nonce, "resource_names": ["app"]}
        await call.ask(ENDPOINT, **refusal)
        await call.ask('type.googleapis.com/some"}.Thing\n', resource_names=["x"])
        await call.has_silence()
        here = describe(server.serving)
        assert here["subscriptions"] == {
            "CDS": {"acknowledged": 1},
            "EDS": {"refused": 1},
            "other": {"silent": 1},
        }
        assert (here["open_streams"], here["nodes"], len(here["streams"])) == (1, 1, 1)
        call.cancel()
        await until(lambda: not len(server.serving.hub))
        again = client.stream("front1")
        await again.ask(LISTENER)
        await again.answer()
        again.cancel()


@pytest.mark.conforms("J9", "error-detail")
def test_responses_and_refusals_are_counted_also_of_streams_that_have_ended(
    tmp_path: Path,
) -> None:
    async def play() -> dict[str, Any]:
        async with served(make_bundle(tmp_path)) as server:
            await _counted(server)
            await server.serving.refresh()
            return overview(server.serving)

    found = asyncio.run(play())

    kinds, samples = parsed("\n".join([*metrics({"": found}), ""]))
    assert samples["meshc_serve_responses_total", 'type="CDS"'] == 1
    assert samples["meshc_serve_responses_total", 'type="EDS"'] == 1
    assert samples["meshc_serve_responses_total", 'type="LDS"'] == 1
    assert samples["meshc_serve_refusals_total", 'type="EDS"'] == 1
    assert samples["meshc_serve_source_errors_total", ""] == 0
    assert samples["meshc_serve_source_ok", ""] == 1
    assert samples["meshc_serve_certificates_ok", ""] == 1
    counters = {name for name, kind in kinds.items() if kind == "counter"}
    assert counters == {name for name in kinds if name.endswith("_total")}


def test_names_of_types_that_clients_make_up_are_in_no_metric(tmp_path: Path) -> None:
    async def play() -> str:
        async with served(make_bundle(tmp_path)) as server, caller(server.port) as client:
            call = client.stream("front1")
            await call.ask('a"} 1\nmeshc_serve_nodes 7', resource_names=["x"])
            await call.has_silence()
            text = "\n".join([*metrics({"": overview(server.serving)}), ""])
            call.cancel()
            return text

    _, samples = parsed(asyncio.run(play()))

    assert samples["meshc_serve_subscriptions", 'type="other",state="silent"'] == 1
    assert samples["meshc_serve_nodes", ""] == 1


def test_every_metric_is_in_the_documentation() -> None:
    page = (Path(meshc.__file__).parent.parent / "docs/serve.md").read_text()
    named = set(re.findall(r"`meshc_serve_(\w+)", page))

    assert named == {name for name, _, _ in heads()}


def test_metrics_of_workers_are_told_apart(tmp_path: Path) -> None:
    async def play() -> dict[str, Any]:
        async with served(make_bundle(tmp_path)) as server:
            return overview(server.serving)

    found = asyncio.run(play())
    both = {"1": found | {"nodes": 3}, "2": found | {"nodes": 4, "problem": "gone"}}

    _, samples = parsed("\n".join([*metrics(both), ""]))

    assert samples["meshc_serve_nodes", 'worker="1"'] == 3
    assert samples["meshc_serve_nodes", 'worker="2"'] == 4
    assert samples["meshc_serve_source_ok", 'worker="2"'] == 0
