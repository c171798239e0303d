"""Single places at which a disk refuses; the campaign goes through all of them."""

from __future__ import annotations

import errno
import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Never

import pytest

from meshc.delivery.agent import events as ev
from meshc.delivery.agent.admin import AdminAddress, EnvoyAdmin
from meshc.delivery.agent.deliver import deliver
from meshc.delivery.agent.endpoints import Endpoints
from meshc.delivery.agent.generations import Generations
from meshc.delivery.agent.haste import unhurried
from meshc.delivery.agent.jobs import Jobs
from meshc.delivery.agent.ledger import Ledger, load_ledger, save_ledger
from meshc.delivery.agent.lock import TargetLock, owner_of
from meshc.delivery.agent.run import Agent
from meshc.delivery.agent.settings import AgentSettings
from meshc.delivery.agent.sources import open_source
from meshc.delivery.agent.status import StatusFile, read_status
from meshc.delivery.agent.swap import read_files
from meshc.delivery.errors import DeliveryError
from meshc.delivery.log import Log
from meshc.delivery.materialize import materialize
from tests.campaigns.faults.played import PlayedEnvoy
from tests.campaigns.faults.sets import NEW, NODE, OLD, generation_name, publish
from tests.delivery.node_files import bundle

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def envoy(tmp_path: Path) -> Iterator[PlayedEnvoy]:
    target = tmp_path / "target"
    materialize(bundle(OLD), target)
    with PlayedEnvoy(target, tmp_path / "admin.sock") as played:
        played.start()
        yield played


def asked(envoy: PlayedEnvoy) -> EnvoyAdmin:
    return EnvoyAdmin(AdminAddress(str(envoy.address)))


def refuse_one_sync(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let the sync of a folder fail once, after the rename into it."""
    real = os.fsync
    done: list[int] = []

    def refuse(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink() == folder and not done:
            done.append(descriptor)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(descriptor)

    patch.setattr(os, "fsync", refuse)


@pytest.mark.parametrize("folder", [".", "services/d"])
def test_a_rename_whose_sync_fails_is_taken_back_with_all_that_it_needs(
    envoy: PlayedEnvoy, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    refuse_one_sync(monkeypatch, envoy.target / folder)

    with pytest.raises(DeliveryError, match="previous files were put back"):
        deliver(bundle(NEW), envoy.target, admin=asked(envoy))

    envoy.look()
    assert read_files(envoy.target) == OLD
    assert not envoy.served_wrongly


def test_a_file_that_cannot_be_removed_undoes_nothing_and_is_removed_by_the_next_try(
    envoy: PlayedEnvoy, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.unlink

    def refuse(path: str, *, dir_fd: int | None = None) -> None:
        if str(path).endswith("rds-outbound.json"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(path, dir_fd=dir_fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        with pytest.raises(DeliveryError) as caught:
            deliver(bundle(NEW), envoy.target, admin=asked(envoy))
    there = read_files(envoy.target)
    deliver(bundle(NEW), envoy.target, admin=asked(envoy))

    assert not caught.value.is_restored
    assert {path: there.get(path) for path in NEW} == NEW
    assert read_files(envoy.target) == NEW
    assert not envoy.served_wrongly


def test_a_full_disk_does_not_keep_an_agent_from_its_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", refuse)
    with TargetLock(tmp_path):
        assert owner_of(tmp_path) is not None


def test_generations_that_cannot_be_read_now_are_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Generations(tmp_path, NODE)
    store.prepare()
    good = store.add(bundle(OLD), fetched=1.0)
    real = Path.read_bytes

    def refuse(self: Path) -> bytes:
        if self.suffix == ".json":
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return real(self)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refuse)
        with pytest.raises(DeliveryError, match="Too many open files"):
            store.prune(1, {good})

    found = store.load(good)
    assert found is not None
    assert found.files == OLD
    assert json.loads(found.files["cds.json"])["version_info"] == "cds-old"


def test_an_agent_whose_memory_cannot_be_read_does_not_forget_what_it_had_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = AgentSettings(
        node=NODE, source="s", target=tmp_path / "t", state=tmp_path / "s", metrics="none"
    )
    settings.state.mkdir()
    save_ledger(settings.state, Ledger(good="a", intent="b"))
    real = Path.read_bytes

    def refuse(self: Path) -> bytes:
        if self.name == "ledger.json":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(self)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refuse)
        agent = Agent(settings, Log(io.StringIO()), is_resident=False)
        with pytest.raises(DeliveryError, match="cannot read .*ledger.json"):
            agent.__enter__()

    assert load_ledger(settings.state)[0].intent == "b"
    assert owner_of(settings.target) is None


def test_news_that_could_not_be_stored_are_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(NEW, tmp_path / "out")
    settings = AgentSettings(
        node=NODE, source=str(tmp_path / "out"), target=tmp_path / "t", state=tmp_path / "s"
    )
    store = Generations(settings.state, NODE)
    store.prepare()
    source = open_source(settings, store.file)
    jobs = Jobs(settings, store, source, unhurried, Endpoints(settings, store))

    def refuse(*_: object, **__: object) -> Never:
        raise DeliveryError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(store, "add", refuse)
        first = jobs.run(ev.Fetch(known="before"))
    second = jobs.run(ev.Fetch(known="before"))

    assert isinstance(first, ev.FetchFailed)
    assert isinstance(second, ev.Fetched)
    assert second.generation == generation_name(NEW)


def test_a_status_for_which_there_is_no_room_goes_into_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = StatusFile(tmp_path)
    file.write({"format": 1, "summary": "OK: all is well, and this is a longer text"})

    def refuse(*_: object, **__: object) -> Never:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "rename", refuse)
    file.write({"format": 1, "summary": "FAILING"})

    assert read_status(tmp_path) == {"format": 1, "summary": "FAILING"}
    assert [place.name for place in tmp_path.iterdir()] == ["status.json"]
