"""A bundle from a web server that behaves, in all the ways in which one may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from meshc.artifact.manifest import file_digest
from meshc.delivery.agent.generations import digests_of, generation_of
from meshc.delivery.agent.settings import AgentSettings
from meshc.delivery.agent.sources import open_source
from meshc.diagnostics.errors import SettingsError
from tests.artifact.bundles import NEW, OLD, Bundle
from tests.delivery.sources.raw_server import RawServer, reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from meshc.delivery.agent.sources import Source

FILES = ["nodes/a/bootstrap.json", "nodes/a/cds.json", "nodes/a/lds.json", "services/app/eds.json"]


def publish(server: RawServer, bundle: Bundle, base: str = "", **headers: str) -> None:
    for path, data in bundle.files.items():
        server.answers[f"{base}/{path}"] = reply(data)
    server.answers[f"{base}/manifest.json"] = reply(bundle.manifest, **headers)


def nothing(_digest: str) -> None:
    return None


@pytest.fixture
def server() -> Iterator[RawServer]:
    with RawServer() as server:
        publish(server, OLD)
        yield server


@pytest.fixture
def web(tmp_path: Path) -> Callable[..., Source]:
    def opened(address: str, held: Any = nothing, **more: Any) -> Source:
        return open_source(
            AgentSettings(
                node="a", source=address, target=tmp_path, state=tmp_path / "state", **more
            ),
            held,
        )

    return opened


def generation(bundle: Bundle) -> str:
    return generation_of(digests_of(bundle.seen["a"]))


def test_a_bundle_is_fetched_whole(server: RawServer, web: Callable[..., Source]) -> None:
    bundle = web(server.address).fetch(None)

    assert bundle is not None
    assert bundle.files == OLD.seen["a"]
    assert server.paths == ["/nodes/a.json", "/manifest.json", *(f"/{path}" for path in FILES)]


def test_a_bundle_may_lie_below_a_path(server: RawServer, web: Callable[..., Source]) -> None:
    publish(server, NEW, base="/mesh/out")

    bundle = web(f"{server.address}/mesh/out/").fetch(None)

    assert bundle is not None
    assert bundle.files == NEW.seen["a"]


def test_nothing_compressed_is_asked_for(server: RawServer, web: Callable[..., Source]) -> None:
    web(server.address).fetch(None)

    assert {one.headers["accept-encoding"] for one in server.asked} == {"identity"}


def test_a_file_that_this_host_has_is_not_asked_for(
    server: RawServer, web: Callable[..., Source]
) -> None:
    here = {file_digest(data): data for data in (OLD.files["nodes/a/cds.json"],)}

    bundle = web(server.address, here.get).fetch(None)

    assert bundle is not None
    assert bundle.files == OLD.seen["a"]
    assert "/nodes/a/cds.json" not in server.paths


@pytest.mark.parametrize(
    ("header", "value", "question"),
    [
        ("etag", '"v1"', "if-none-match"),
        ("last_modified", "Tue, 24 Nov 2026 10:00:00 GMT", "if-modified-since"),
    ],
)
def test_an_unchanged_bundle_costs_one_small_request(
    server: RawServer, web: Callable[..., Source], *, header: str, value: str, question: str
) -> None:
    publish(server, OLD, **{header: value})
    source = web(server.address)
    source.fetch(None)
    server.answers["/manifest.json"] = b"HTTP/1.1 304 Not Modified\r\n\r\n"
    server.asked.clear()

    again = source.fetch(generation(OLD))

    assert again is None
    assert server.paths == ["/manifest.json"]
    assert server.asked[0].headers[question] == value


def test_without_the_generation_at_hand_nothing_is_asked_with_a_condition(
    server: RawServer, web: Callable[..., Source]
) -> None:
    """A stored generation that was lost must be fetched again."""
    publish(server, OLD, etag='"v1"')
    source = web(server.address)
    source.fetch(None)

    again = source.fetch(None)

    assert again is not None
    assert all("if-none-match" not in one.headers for one in server.asked)


def test_a_tag_that_cannot_be_said_again_is_not(
    server: RawServer, web: Callable[..., Source]
) -> None:
    publish(server, OLD, etag='"gr\xfc\xdfe"')
    source = web(server.address)
    source.fetch(None)

    assert source.fetch(generation(OLD)) is None
    assert "if-none-match" not in server.asked[-1].headers


def test_a_server_without_tags_is_asked_for_the_manifest_only(
    server: RawServer, web: Callable[..., Source]
) -> None:
    source = web(server.address)
    source.fetch(None)
    server.asked.clear()

    assert source.fetch(generation(OLD)) is None
    assert server.paths == ["/manifest.json"]


def test_a_new_bundle_is_fetched_despite_an_old_tag(
    server: RawServer, web: Callable[..., Source]
) -> None:
    publish(server, OLD, etag='"v1"')
    source = web(server.address)
    source.fetch(None)
    publish(server, NEW, etag='"v2"')

    bundle = source.fetch(generation(OLD))

    assert bundle is not None
    assert bundle.files == NEW.seen["a"]


@pytest.mark.parametrize(
    "form",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x;a=b\r\n%b\r\n0\r\nX: y\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n\r\n%b",
        b"HTTP/1.1 200 OK\nContent-Encoding: identity\n\n%b",
    ],
    ids=["in pieces", "after an interim reply", "until the end of the connection"],
)
def test_every_form_of_a_reply_is_understood(
    server: RawServer, web: Callable[..., Source], form: bytes
) -> None:
    body = OLD.manifest
    parts = (len(body), body) if b"%x" in form else (body,)
    server.answers["/manifest.json"] = form % parts

    bundle = web(server.address).fetch(None)

    assert bundle is not None
    assert bundle.files == OLD.seen["a"]


@pytest.mark.parametrize(
    "address",
    [
        "http://",
        "http://user:secret@127.0.44.1/",
        "http://127.0.44.1/out?token=1",
        "http://127.0.44.1:99999/",
        "http://[::1/",
        "ftp://127.0.44.1/",
        "s3://bucket",
    ],
)
def test_an_address_that_cannot_be_is_refused_at_once(
    web: Callable[..., Source], address: str
) -> None:
    with pytest.raises(SettingsError):
        web(address)
