"""A publication behind a web server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshc.artifact.published import blob_path
from meshc.delivery.agent.generations import digests_of
from meshc.delivery.agent.sources import SourceError
from tests.delivery.publish.bundles import NOW
from tests.delivery.sources.published import NEW, OLD, files, generation, publish
from tests.delivery.sources.raw_server import RawServer, reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from meshc.delivery.agent.sources import Source

_PATIENCE_S = 20


def serve(server: RawServer, folder: Path, **headers: str) -> None:
    server.answers.clear()
    for path in folder.rglob("*"):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            server.answers[f"/{name}"] = reply(path.read_bytes(), **headers)


@pytest.fixture
def server(folder: Path) -> Iterator[RawServer]:
    with RawServer() as server:
        serve(server, folder)
        yield server


def test_behind_a_web_server_the_pointer_and_blobs_are_fetched_and_no_manifest(
    server: RawServer, source: Callable[..., Source]
) -> None:
    opened = source(server.address)

    assert files(opened) == OLD.files("a")
    assert opened.order == NOW
    blobs = {f"/{blob_path(digest)}" for digest in digests_of(OLD.files("a")).values()}
    assert server.paths[0] == "/nodes/a.json"
    assert set(server.paths[1:]) == blobs


def test_blobs_whose_files_this_host_has_are_not_fetched(
    server: RawServer, source: Callable[..., Source], folder: Path
) -> None:
    old = OLD.files("a")
    here = {digest: old[path] for path, digest in digests_of(old).items()}
    publish(folder, NEW, NOW + 1)
    serve(server, folder)

    assert files(source(server.address, here.get)) == NEW.files("a")
    assert len(server.paths) == 2


@pytest.mark.parametrize(
    ("header", "value", "question"),
    [
        ("etag", '"v1"', "if-none-match"),
        ("last_modified", "Tue, 24 Nov 2026 10:00:00 GMT", "if-modified-since"),
    ],
)
def test_an_unchanged_pointer_costs_one_small_request(
    server: RawServer,
    source: Callable[..., Source],
    folder: Path,
    *,
    header: str,
    value: str,
    question: str,
) -> None:
    serve(server, folder, **{header: value})
    opened = source(server.address)
    opened.fetch(None)
    server.answers["/nodes/a.json"] = b"HTTP/1.1 304 Not Modified\r\n\r\n"
    server.asked.clear()

    assert opened.fetch(generation(OLD)) is None
    assert opened.order == NOW
    assert server.paths == ["/nodes/a.json"]
    assert server.asked[0].headers[question] == value


def test_a_pointer_that_moves_is_followed_with_one_request_for_it(
    server: RawServer, source: Callable[..., Source], folder: Path
) -> None:
    serve(server, folder, etag='"v1"')
    opened = source(server.address)
    opened.fetch(None)
    publish(folder, NEW, NOW + 1)
    serve(server, folder, etag='"v2"')
    server.asked.clear()

    assert files(opened, generation(OLD)) == NEW.files("a")
    assert opened.order == NOW + 1
    assert server.paths.count("/nodes/a.json") == 1


@pytest.mark.parametrize("status", ["404 Not Found", "403 Forbidden", "410 Gone"])
def test_a_node_that_has_left_is_said_whatever_the_server_calls_it(
    server: RawServer, source: Callable[..., Source], status: str
) -> None:
    opened = source(server.address)
    opened.fetch(None)
    for path in ("/nodes/a.json", "/manifest.json"):
        server.answers[path] = reply(b"", status=status)

    with pytest.raises(SourceError, match=r'no files for node "a" \(any more\)'):
        opened.fetch(generation(OLD))


def test_a_server_that_changes_from_a_build_to_a_publication_is_followed(
    server: RawServer, source: Callable[..., Source], folder: Path, tmp_path: Path
) -> None:
    OLD.write(tmp_path / "build")
    serve(server, tmp_path / "build")
    opened = source(server.address)
    assert files(opened) == OLD.files("a")
    publish(folder, NEW, NOW + 1)
    serve(server, folder)

    assert files(opened, generation(OLD)) == NEW.files("a")
    assert opened.order == NOW + 1


def test_a_server_that_fails_is_not_taken_for_one_without_a_pointer(
    server: RawServer, source: Callable[..., Source], tmp_path: Path
) -> None:
    """An old manifest may still lie there."""
    NEW.write(tmp_path / "build")
    opened = source(server.address)
    opened.fetch(None)
    server.answers["/manifest.json"] = reply((tmp_path / "build/manifest.json").read_bytes())
    server.answers["/nodes/a.json"] = reply(b"", status="503 Service Unavailable")

    with pytest.raises(SourceError, match='"nodes/a.json".*the server says 503'):
        opened.fetch(generation(OLD))


def test_a_bomb_from_the_server_is_not_inflated(
    server: RawServer, source: Callable[..., Source]
) -> None:
    import zlib  # noqa: PLC0415, for this one bomb

    bomb = zlib.compress(bytes(64 * 1024 * 1024), 9)
    for path in list(server.answers):
        if path.startswith("/blobs/"):
            server.answers[path] = reply(bomb)

    with pytest.raises(SourceError, match="inflates to more than"):
        source(server.address).fetch(None)
