"""Servers and networks that fail, lie, dawdle or never end: each costs little and says why."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import socket
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from meshc.delivery.agent.settings import AgentSettings
from meshc.delivery.agent.sources import Source, SourceError, open_source
from tests.artifact.bundles import OLD
from tests.delivery.sources.raw_server import HOST, RawServer, reply, reset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_POINTER = "/nodes/a.json"
_MANIFEST = "/manifest.json"
_LIMIT = 256 * 1024
_BUFFERS = 8 * 1024 * 1024
"""What two sockets on loopback may have taken in beyond what was read."""


@pytest.fixture
def server() -> Iterator[RawServer]:
    with RawServer() as server:
        for path, data in {**OLD.files, "manifest.json": OLD.manifest}.items():
            server.answers[f"/{path}"] = reply(data)
        yield server


@pytest.fixture
def web(server: RawServer, tmp_path: Path) -> Callable[..., Source]:
    def opened(**more: Any) -> Source:
        given: dict[str, Any] = {"source": server.address} | more
        settings = AgentSettings(node="a", target=tmp_path, state=tmp_path / "state", **given)
        return open_source(settings, lambda _digest: None)

    return opened


def endless(head: bytes, piece: bytes, sent: list[int]) -> Callable[[socket.socket], None]:
    """Never stop; counts what could be sent."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(head)
        for _ in itertools.repeat(None):
            connection.sendall(piece)
            sent.append(len(piece))

    return answer


def slowly(text: bytes, pause_s: float) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        for byte in text:
            connection.sendall(bytes([byte]))
            time.sleep(pause_s)

    return answer


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (reply(b"", status="404 Not Found"), "the server says 404"),
        (reply(b"", status="500 Internal Server Error"), "the server says 500"),
        (reply(OLD.manifest, status="206 Partial Content"), "the server says 206"),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", "the server says 304"),
        (reset, "reset"),
        (b"", "the connection was closed"),
        (HEAD, "the connection was closed"),
        (HEAD + b"Content-Length: 900000\r\n\r\n{", "cut off"),
        (HEAD + b"Content-Length: -5\r\n\r\n{}", "a length that is no number"),
        (HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n{}", "a length that is no number"),
        (HEAD + b"Content-Length: 5\r\n\r\n{}", "cut off"),
        (HEAD + b"Content-Length: 99999999999\r\n\r\n", "too much"),
        (b"HTTP/1.1 " + b"2" * 5000 + b" OK\r\n\r\n", "no HTTP"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "no HTTP"),
        (b"\x15\x03\x01\x00\x02\x02\x16\r\n", "no HTTP"),
        (b"a" * 200_000, "a line without end"),
        (HEAD + b"X: " + b"a" * 200_000, "a line without end"),
        (HEAD + b"X: y\r\n" * 5000, "too many headers"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "a piece without a length"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n{}", "a piece of negative length"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 4000 + b"\r\n", "too much"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{}", "cut off"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", "closed"),
    ],
)
def test_a_reply_that_is_none_is_said_with_its_reason(
    server: RawServer, web: Callable[..., Source], *, answer: Any, reason: str
) -> None:
    server.answers[_MANIFEST] = answer

    with pytest.raises(SourceError, match=reason) as caught:
        web().fetch(None)

    assert not caught.value.is_incomplete
    assert server.paths[:2] == [_POINTER, _MANIFEST]


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
def test_a_redirect_is_not_followed(
    server: RawServer, web: Callable[..., Source], status: str
) -> None:
    with RawServer() as elsewhere:
        place = f"{elsewhere.address}/manifest.json"
        server.answers[_MANIFEST] = reply(b"", status=status, location=place)

        with pytest.raises(SourceError, match="redirects are not followed"):
            web().fetch(None)

    assert elsewhere.asked == []


def test_a_compressed_reply_is_refused_unopened(
    server: RawServer, web: Callable[..., Source]
) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    server.answers[_MANIFEST] = reply(bomb, content_encoding="gzip")
    source = web()
    tracemalloc.start()

    with pytest.raises(SourceError, match="compressed"):
        source.fetch(None)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/services/app/eds.json", reply(b'{"number": 2}')),
        ("/nodes/a/lds.json", reply(OLD.files["nodes/a/lds.json"][:-1])),
        ("/nodes/a/lds.json", reply(b"", status="404 Not Found")),
    ],
    ids=["another file", "a shorter file", "no file"],
)
def test_a_file_that_is_not_the_named_one_may_still_be_on_its_way(
    server: RawServer, web: Callable[..., Source], path: str, answer: bytes
) -> None:
    server.answers[path] = answer

    with pytest.raises(SourceError) as caught:
        web().fetch(None)

    assert path[1:] in caught.value.message
    assert caught.value.is_incomplete


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (HEAD + b"\r\n", b"x" * 65536),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"8000\r\n" + b"x" * 32768 + b"\r\n"),
        (HEAD, b"X: " + b"x" * 8000 + b"\r\n"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    ],
    ids=["a body", "pieces", "headers", "interim replies"],
)
def test_what_never_ends_is_not_taken_in(
    server: RawServer, web: Callable[..., Source], head: bytes, piece: bytes
) -> None:
    sent: list[int] = []
    server.answers[_MANIFEST] = endless(head, piece, sent)
    source = web(max_manifest=_LIMIT)
    tracemalloc.start()

    with pytest.raises(SourceError):
        source.fetch(None)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * _LIMIT
    assert sum(sent) < _LIMIT + _BUFFERS


def test_a_file_larger_than_allowed_is_refused_by_its_announced_length(
    server: RawServer, web: Callable[..., Source]
) -> None:
    sent: list[int] = []
    head = HEAD + b"Content-Length: 20000000\r\n\r\n"
    server.answers["/nodes/a/cds.json"] = endless(head, b"x" * 65536, sent)

    with pytest.raises(SourceError, match="too much"):
        web(max_file=_LIMIT).fetch(None)

    assert sum(sent) < _BUFFERS


def test_a_trickle_is_given_up_for_its_speed(server: RawServer, web: Callable[..., Source]) -> None:
    server.answers[_MANIFEST] = slowly(reply(OLD.manifest), 0.02)

    with pytest.raises(SourceError, match="slower than 1024 bytes a second"):
        web(source_limit=300.0).fetch(None)


@pytest.mark.parametrize("start", [b"", HEAD, HEAD + b"Content-Length: 10\r\n\r\n{"])
def test_silence_is_given_up_in_time(
    server: RawServer, web: Callable[..., Source], start: bytes
) -> None:
    def silent(connection: socket.socket) -> None:
        connection.sendall(start)
        connection.recv(1)  # until the client goes

    server.answers[_MANIFEST] = silent

    with pytest.raises(SourceError, match="in time"):
        web(source_limit=0.3).fetch(None)


def test_nobody_listening_is_said(web: Callable[..., Source]) -> None:
    with contextlib.closing(socket.create_server((HOST, 0))) as held:
        address = f"http://{HOST}:{held.getsockname()[1]}"

    with pytest.raises(SourceError, match="refused"):
        web(source=address).fetch(None)


def test_a_connection_that_nobody_accepts_is_given_up_in_time(web: Callable[..., Source]) -> None:
    """The kernel takes connections for a server that hangs, until its queue is full."""
    with contextlib.closing(socket.create_server((HOST, 0), backlog=1)) as hung:
        address = f"http://{HOST}:{hung.getsockname()[1]}"

        with pytest.raises(SourceError, match="in time"):
            web(source=address, source_limit=0.3).fetch(None)


def test_a_name_that_is_none_is_an_error_of_the_source(web: Callable[..., Source]) -> None:
    with pytest.raises(SourceError, match="cannot get"):
        web(source=f"http://{'a' * 70}.example/").fetch(None)


def test_after_any_failure_the_next_fetch_gets_the_bundle(
    server: RawServer, web: Callable[..., Source]
) -> None:
    source = web()
    good = server.answers[_MANIFEST]
    for bad in (reset, b"", reply(b"{}"), reply(b"", status="500 No")):
        server.answers[_MANIFEST] = bad
        with pytest.raises(SourceError):
            source.fetch("what lies on disk")
    server.answers[_MANIFEST] = good

    bundle = source.fetch("what lies on disk")

    assert bundle is not None
    assert bundle.files == OLD.seen["a"]
