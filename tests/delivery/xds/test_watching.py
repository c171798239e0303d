"""A change in a folder is served at once, however it comes about; looks are an hour apart here."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from meshc.delivery.publish.to_directory import Folder
from meshc.delivery.xds.content.library import Library
from meshc.delivery.xds.content.published import FolderSource
from meshc.delivery.xds.content.source import DirectorySource
from meshc.delivery.xds.process.run import Serving
from meshc.delivery.xds.settings import ServeSettings
from meshc.delivery.xds.transport.addresses import address
from meshc.pipeline import BuildOptions, build
from meshc.proto import load_schema
from tests.delivery.publish.publishing import publish_out
from tests.delivery.xds.meshes import APP, SMALL, make_bundle
from tests.delivery.xds.served import free_port, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    import pytest

_SECONDS = 20.0


@contextlib.asynccontextmanager
async def _serving(source: Any) -> AsyncIterator[Serving]:
    settings = ServeSettings(
        source="", listen=address(f"127.0.0.1:{free_port()}"), tls=None, poll=3600.0
    )
    serving = Serving(settings, source)
    await serving.start()
    try:
        yield serving
    finally:
        await serving.stop()


async def _switched(serving: Serving, count: int) -> None:
    await until(lambda: serving.facts.switches >= count)


def _play(source: Any, changes: list[Callable[[], None]]) -> None:
    async def run() -> None:
        async with _serving(source) as serving:
            for number, change in enumerate(changes, start=1):
                await asyncio.to_thread(change)
                await _switched(serving, number)
            assert serving.facts.problem == ""

    asyncio.run(run())


def _with_port(port: int) -> dict[str, str]:
    return SMALL | {"app": APP.replace("8000", str(port))}


def _build(folder: Path, port: int) -> None:
    (folder / "specs/app.yaml").write_text(_with_port(port)["app"])
    assert not build(folder / "specs", BuildOptions(out=folder / "out")).has_errors


def test_builds_into_the_folder(tmp_path: Path) -> None:
    source = DirectorySource(make_bundle(tmp_path), Library(load_schema("1.40.0")))

    _play(source, [lambda: _build(tmp_path, 8001), lambda: _build(tmp_path, 8002)])


def test_another_folder_in_place_of_a_link(tmp_path: Path) -> None:
    folders = [make_bundle(tmp_path / str(port), _with_port(port)) for port in (8001, 8002)]
    (tmp_path / "current").symlink_to(folders[0])

    def change(number: int) -> None:
        (tmp_path / "new").symlink_to(folders[number % 2])
        (tmp_path / "new").rename(tmp_path / "current")

    source = DirectorySource(tmp_path / "current", Library(load_schema("1.40.0")))

    _play(source, [lambda: change(1), lambda: change(2), lambda: change(3)])


def test_publications_into_the_folder(tmp_path: Path) -> None:
    def publish(port: int) -> None:
        out = make_bundle(tmp_path / str(port), _with_port(port))
        publish_out(Folder(tmp_path / "published"), out, 1_764_000_000_000 + port)

    publish(8000)
    source = FolderSource(tmp_path / "published", Library(load_schema("1.40.0")))

    _play(source, [lambda: publish(8001), lambda: publish(8002)])


def test_without_inotify_the_folder_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError(24, "inotify instance limit reached")

    monkeypatch.setattr("watchdog.observers.inotify.InotifyObserver.start", fail)
    source = DirectorySource(make_bundle(tmp_path), Library(load_schema("1.40.0")))

    async def run() -> None:
        async with _serving(source) as serving:
            await asyncio.to_thread(_build, tmp_path, 8001)
            assert await serving.refresh()

    asyncio.run(run())
