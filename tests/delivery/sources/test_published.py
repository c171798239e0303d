"""A publication in a folder and behind a web server: the node's pointer is what is looked at."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import threading
from typing import TYPE_CHECKING

import pytest

from meshc.artifact.published import blob_path
from meshc.delivery.agent.generations import digests_of, generation_of
from meshc.delivery.agent.settings import AgentSettings
from meshc.delivery.agent.sources import SourceError, open_source
from meshc.delivery.publish.local import LocalBundle
from meshc.delivery.publish.plan import Bounds, PublishConflictError, PublishError
from meshc.delivery.publish.publisher import Publisher, Wishes
from meshc.delivery.publish.to_directory import Folder
from tests.delivery.live import until
from tests.delivery.publish.bundles import Mesh
from tests.delivery.sources.raw_server import RawServer, reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from meshc.delivery.agent.sources import Source

NOW = 1_764_000_000_000
OLD = Mesh({"a": "1", "b": "1"}, {"app": "1", "store": "1"})
NEW = Mesh({"a": "1", "b": "1"}, {"app": "2", "store": "1"})
_PATIENCE_S = 20


def publish(folder: Path, mesh: Mesh, now: int = NOW) -> None:
    out = folder.parent / f"out-{now}"
    mesh.write(out)
    publisher = Publisher(
        LocalBundle(out),
        Folder(folder),
        Wishes(bounds=Bounds(may_shrink=True)),
        progress=lambda _done, _total: None,
    )
    publisher.publish(now)


def generation(mesh: Mesh) -> str:
    return generation_of(digests_of(mesh.files("a")))


def files(source: Source, known: str | None = None) -> dict[str, bytes] | None:
    bundle = source.fetch(known)
    return None if bundle is None else dict(bundle.files)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A publication."""
    folder = tmp_path / "published"
    publish(folder, OLD)
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Callable[..., Source]]:
    with contextlib.ExitStack() as stack:

        def opened(place: object, held: Callable[[str], bytes | None] | None = None) -> Source:
            target = tmp_path / "target"
            settings = AgentSettings(node="a", source=str(place), target=target, state=target)
            found = open_source(settings, held or (lambda _digest: None))
            stack.callback(found.close)
            return found

        yield opened


# --- a folder ---------------------------------------------------------------------------------


def test_a_folder_is_read_whole_with_its_order(folder: Path, source: Callable[..., Source]) -> None:
    opened = source(folder)

    assert files(opened) == OLD.files("a")
    assert opened.order == NOW


def test_a_known_bundle_is_not_read_again(folder: Path, source: Callable[..., Source]) -> None:
    opened = source(folder)
    opened.fetch(None)
    shutil.rmtree(folder / "blobs")

    assert opened.fetch(generation(OLD)) is None


def test_a_pointer_that_moves_is_noticed_and_those_of_others_are_not(
    folder: Path, source: Callable[..., Source]
) -> None:
    opened, news = source(folder), threading.Event()
    opened.fetch(None)
    opened.watch(lambda _at: news.set())

    publish(folder, Mesh({"a": "1", "b": "2"}, OLD.services), NOW + 1)
    assert opened.fetch(generation(OLD)) is None
    assert not news.is_set()
    publish(folder, NEW, NOW + 2)

    assert news.wait(_PATIENCE_S)
    assert files(opened, generation(OLD)) == NEW.files("a")


def test_a_folder_that_becomes_a_publication_is_read_and_watched_as_one(
    tmp_path: Path, source: Callable[..., Source]
) -> None:
    folder = tmp_path / "place"
    OLD.write(folder)
    opened, news = source(folder), threading.Event()
    assert files(opened) == OLD.files("a")
    first = opened.order
    assert first is None
    opened.watch(lambda _at: news.set())

    publish(folder, NEW, NOW)
    assert news.wait(_PATIENCE_S)
    assert files(opened, generation(OLD)) == NEW.files("a")
    assert opened.order == NOW
    news.clear()
    publish(folder, OLD, NOW + 1)

    assert news.wait(_PATIENCE_S)
    assert files(opened, generation(NEW)) == OLD.files("a")


def test_a_folder_in_which_the_publication_appears_later_is_watched(
    tmp_path: Path, source: Callable[..., Source]
) -> None:
    folder = tmp_path / "place"
    folder.mkdir()
    opened, news = source(folder), threading.Event()
    opened.watch(lambda _at: news.set())
    with pytest.raises(SourceError, match="is missing"):
        opened.fetch(None)

    publish(folder, OLD)

    assert news.wait(_PATIENCE_S)
    until(lambda: files(opened) == OLD.files("a"), "a bundle")


def test_a_pointer_that_has_gone_is_a_failure_and_says_so(
    folder: Path, source: Callable[..., Source]
) -> None:
    opened, news = source(folder), threading.Event()
    opened.fetch(None)
    opened.watch(lambda _at: news.set())
    (folder / "manifest.json").write_text("{}")  # of no meaning in a publication

    publish(folder, Mesh({"b": "1"}, OLD.services), NOW + 1)

    assert news.wait(_PATIENCE_S)
    with pytest.raises(SourceError, match=r'no files for node "a" \(any more\)'):
        opened.fetch(generation(OLD))


def test_what_rsync_has_brought_only_in_part_is_incomplete(
    folder: Path, source: Callable[..., Source], tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("index.json", "nodes"):
        (shutil.copytree if (folder / name).is_dir() else shutil.copy)(folder / name, copy / name)
    opened = source(copy)

    with pytest.raises(SourceError, match="is missing") as caught:
        opened.fetch(None)
    shutil.copytree(folder / "blobs", copy / "blobs")

    assert caught.value.is_incomplete
    assert files(opened) == OLD.files("a")


def test_no_flipped_bit_ever_gets_through(folder: Path, source: Callable[..., Source]) -> None:
    """In pointer and blobs, a sample: other content is never returned."""
    luck = random.Random(7)
    places = [folder / "nodes/a.json", *folder.glob("blobs/*/*")]
    refused = 0
    for _ in range(300):
        place = luck.choice(places)
        whole = place.read_bytes()
        flipped = bytearray(whole)
        flipped[luck.randrange(len(whole))] ^= 1 << luck.randrange(8)
        place.write_bytes(flipped)

        try:
            assert files(source(folder)) == OLD.files("a")
        except SourceError:
            refused += 1
        place.write_bytes(whole)

    assert refused > 100


def test_a_publisher_that_comes_while_another_is_at_work_in_a_folder_is_refused(
    folder: Path,
) -> None:
    before = (folder / "index.json").read_bytes()

    with (
        Folder(folder).alone(),
        pytest.raises(PublishConflictError, match="somebody else is publishing"),
    ):
        publish(folder, NEW, NOW + 1)

    assert (folder / "index.json").read_bytes() == before


class KilledError(BaseException):
    """Nothing catches it: the publisher is gone."""


def test_wherever_a_publisher_dies_hosts_read_old_or_new_and_the_next_ends_it(
    folder: Path, tmp_path: Path, source: Callable[..., Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.rename
    for cut in range(100):
        place = tmp_path / f"cut-{cut}"
        shutil.copytree(folder, place)
        left = iter(range(cut))

        def counted(*names: Path, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise KilledError
            rename(*names)

        monkeypatch.setattr("meshc.delivery.publish.to_directory.os.rename", counted)
        is_over = False
        try:
            publish(place, NEW, NOW + 1)
            is_over = True
        except KilledError:
            pass
        monkeypatch.undo()

        assert files(source(place)) in [OLD.files("a"), NEW.files("a")]
        publish(place, NEW, NOW + 2)
        assert files(source(place)) == NEW.files("a")
        if is_over:
            break
    assert is_over
    assert cut > 5


def test_what_a_killed_publisher_was_writing_goes_with_the_next(folder: Path) -> None:
    (folder / ".new").mkdir()
    (folder / ".new/3").write_text("half")

    publish(folder, NEW, NOW + 1)

    assert not (folder / ".new").exists()


def test_a_disk_that_refuses_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(PublishError, match="cannot (read|write)"):
        publish(tmp_path / "file", OLD)


def test_files_of_a_publication_may_be_read_by_a_web_server(folder: Path) -> None:
    modes = {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()}

    assert modes == {0o644}


# --- a web server -----------------------------------------------------------------------------


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
