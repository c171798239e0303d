"""A bundle in a folder: while it is written, replaced, taken away, or made to harm its reader."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from meshc.artifact.write import JOURNAL, recover
from meshc.delivery.agent.generations import digests_of, generation_of
from meshc.delivery.agent.settings import AgentSettings
from meshc.delivery.agent.sources import SourceError
from meshc.delivery.agent.sources.directory import DirectorySource
from tests.artifact.bundles import NEW, OLD, Bundle, mark_journal
from tests.delivery.live import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NOBODY = 65534
_WRITING_S = 1.5
_PATIENCE_S = 20
_LARGE = 64 * 1024
_WITHOUT_INOTIFY = """
import os, sys, threading
from pathlib import Path
from meshc.delivery.agent.settings import AgentSettings
from meshc.delivery.agent.sources.directory import DirectorySource
Path("/proc/sys/user", sys.argv[1]).write_text("0")
folder, target = sys.argv[2], Path(sys.argv[3])
source = DirectorySource(AgentSettings(node="a", source=folder, target=target, state=target))
print(source.watch(lambda _at: None))
source.fetch(None)
before = len(os.listdir("/proc/self/fd")), threading.active_count()
for _ in range(20):
    source.fetch(None)
print(before == (len(os.listdir("/proc/self/fd")), threading.active_count()))
"""


@pytest.fixture
def out(tmp_path: Path) -> Path:
    out = tmp_path / "out"
    OLD.write(out)
    return out


@pytest.fixture
def source(out: Path, tmp_path: Path) -> Iterator[DirectorySource]:
    with contextlib.closing(opened(out, tmp_path)) as source:
        yield source


def opened(folder: Path, tmp_path: Path, **more: int) -> DirectorySource:
    target = tmp_path / "target"
    return DirectorySource(
        AgentSettings(node="a", source=str(folder), target=target, state=target, **more)  # type: ignore[arg-type]
    )


def generation(bundle: Bundle) -> str:
    return generation_of(digests_of(bundle.seen["a"]))


def files(source: DirectorySource, known: str | None = None) -> dict[str, bytes] | None:
    bundle = source.fetch(known)
    return None if bundle is None else dict(bundle.files)


def test_a_bundle_is_read_whole(source: DirectorySource) -> None:
    assert files(source) == OLD.seen["a"]


def test_a_known_bundle_is_not_read_again(source: DirectorySource, out: Path) -> None:
    source.fetch(None)
    (out / "nodes/a/lds.json").unlink()

    assert source.fetch(generation(OLD)) is None


def test_a_manifest_that_changes_for_other_nodes_is_no_new_generation(
    source: DirectorySource, out: Path
) -> None:
    source.fetch(None)
    Bundle(1, ("a", "another")).write(out)

    assert source.fetch(generation(OLD)) is None


def test_what_a_writer_has_committed_is_read_from_its_journal(
    source: DirectorySource, out: Path
) -> None:
    for path, data in {**NEW.files, "manifest.json": NEW.manifest}.items():
        (out / JOURNAL / path).parent.mkdir(parents=True, exist_ok=True)
        (out / JOURNAL / path).write_bytes(data)
    mark_journal(out / JOURNAL)

    before = files(source)
    recover(out)

    assert before == NEW.seen["a"]
    assert files(source) == NEW.seen["a"]


def test_while_a_writer_is_at_work_a_bundle_is_read_whole_or_not_at_all(
    source: DirectorySource, out: Path
) -> None:
    is_over = threading.Event()

    def write() -> None:
        while not is_over.is_set():
            NEW.write(out)
            OLD.write(out)

    writer = threading.Thread(target=write)
    writer.start()
    found = []
    end = time.monotonic() + _WRITING_S
    while time.monotonic() < end:
        with contextlib.suppress(SourceError):
            found.append(files(source))
    is_over.set()
    writer.join()

    assert {str(one) for one in found} == {str(OLD.seen["a"]), str(NEW.seen["a"])}


@pytest.mark.parametrize("path", ["manifest.json", "nodes/a/lds.json", "services/app/eds.json"])
def test_a_file_that_is_missing_may_still_come(
    source: DirectorySource, out: Path, path: str
) -> None:
    (out / path).unlink()

    with pytest.raises(SourceError, match=f'{path}" is missing') as caught:
        source.fetch(None)

    assert caught.value.is_incomplete


@pytest.mark.parametrize("data", [b"", b'{"number": 2}', b'{"number": 1', b'{"number": 1}\n'])
def test_a_file_that_is_not_the_named_one_may_still_come(
    source: DirectorySource, out: Path, data: bytes
) -> None:
    (out / "services/app/eds.json").write_bytes(data)

    with pytest.raises(SourceError, match="not the file that the manifest names") as caught:
        source.fetch(None)

    assert caught.value.is_incomplete


def test_a_checkout_is_followed_from_commit_to_commit(tmp_path: Path) -> None:
    def git(*arguments: str, folder: Path) -> None:
        identity = ("-c", "user.name=t", "-c", "user.email=t@localhost")
        command = ["git", *identity, *arguments]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)

    made, checkout = tmp_path / "made", tmp_path / "checkout"
    OLD.write(made / "out")
    git("init", "--initial-branch=main", folder=made)
    for bundle in (OLD, NEW):
        bundle.write(made / "out")
        git("add", "--all", folder=made)
        git("commit", "--message=build", folder=made)
    git("clone", str(made), str(checkout), folder=tmp_path)
    git("checkout", "main~1", folder=checkout)
    notified = threading.Event()
    with contextlib.closing(opened(checkout / "out", tmp_path)) as source:
        source.watch(lambda _at: notified.set())
        before = files(source)

        git("checkout", "main", folder=checkout)

        assert notified.wait(_PATIENCE_S)
        assert before == OLD.seen["a"]
        assert files(source, generation(OLD)) == NEW.seen["a"]


def test_a_folder_that_was_replaced_is_read_and_watched_again(
    source: DirectorySource, out: Path, tmp_path: Path
) -> None:
    notified = threading.Event()
    source.watch(lambda _at: notified.set())
    source.fetch(None)
    NEW.write(tmp_path / "next")
    out.rename(tmp_path / "away")
    (tmp_path / "next").rename(out)

    replaced = files(source, generation(OLD))
    notified.clear()
    OLD.write(out)

    assert replaced == NEW.seen["a"]
    assert notified.wait(_PATIENCE_S)
    assert files(source, generation(NEW)) == OLD.seen["a"]


def test_changes_behind_a_link_are_noticed_and_so_is_another_link(
    out: Path, tmp_path: Path
) -> None:
    current = tmp_path / "current"
    current.symlink_to(out)
    other = tmp_path / "other"
    OLD.write(other)
    notified = threading.Event()
    with contextlib.closing(opened(current, tmp_path)) as source:
        source.watch(lambda _at: notified.set())
        source.fetch(None)

        NEW.write(out)
        is_noticed = notified.wait(_PATIENCE_S)
        new = files(source, generation(OLD))
        (tmp_path / "link").symlink_to(other)
        (tmp_path / "link").rename(current)

        assert is_noticed
        assert new == NEW.seen["a"]
        assert files(source, generation(NEW)) == OLD.seen["a"]


def test_a_folder_that_comes_later_is_watched_then(tmp_path: Path) -> None:
    late = tmp_path / "late"
    notified = threading.Event()
    with contextlib.closing(opened(late, tmp_path)) as source:
        problem = source.watch(lambda _at: notified.set())
        with pytest.raises(SourceError, match="is not there"):
            source.fetch(None)
        OLD.write(late)
        source.fetch(None)
        notified.clear()

        NEW.write(late)

        assert "No such file" in problem
        assert notified.wait(_PATIENCE_S)


def test_a_folder_that_has_gone_is_a_failure_every_time(source: DirectorySource, out: Path) -> None:
    source.fetch(None)
    shutil.rmtree(out)

    for _ in range(3):
        with pytest.raises(SourceError, match="is not there"):
            source.fetch(generation(OLD))


@pytest.fixture
def no_rights(out: Path) -> Iterator[None]:
    """Take the right to read away, from root too."""
    (out / "manifest.json").chmod(0)
    if os.geteuid() == 0:
        os.seteuid(_NOBODY)
        yield
        os.seteuid(0)
    else:
        yield


@pytest.mark.usefixtures("no_rights")
def test_a_folder_that_may_not_be_read_is_said(source: DirectorySource) -> None:
    with pytest.raises(SourceError, match="Permission denied"):
        source.fetch(None)


@pytest.mark.parametrize(
    ("limit", "reason"),
    [("max_inotify_instances", "inotify instance limit"), ("max_inotify_watches", "inotify watch")],
)
def test_without_inotify_the_folder_is_still_read(
    out: Path, tmp_path: Path, limit: str, reason: str
) -> None:
    command = ["unshare", "--user", "--map-root-user"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*command, "true"], check=False).returncode
    ):
        pytest.skip("no user namespace is to be had here")

    done = subprocess.run(
        [*command, sys.executable, "-c", _WITHOUT_INOTIFY, limit, out, tmp_path],
        capture_output=True,
        text=True,
        check=True,
    )

    said, is_steady = done.stdout.splitlines()
    assert said.startswith("inotify is not to be had: ")
    assert reason in said
    assert is_steady == "True"


@pytest.mark.parametrize("path", ["manifest.json", "nodes/a/cds.json"])
def test_a_huge_file_is_not_taken_in(out: Path, tmp_path: Path, path: str) -> None:
    with (out / path).open("r+b") as stream:
        stream.truncate(1 << 40)  # a hole
    source = opened(out, tmp_path, max_file=_LARGE, max_manifest=_LARGE)

    with pytest.raises(SourceError, match="larger than 65536 bytes"):
        source.fetch(None)


@pytest.mark.parametrize("path", ["manifest.json", "nodes/a/cds.json"])
@pytest.mark.parametrize("kind", ["pipe", "link to a pipe", "link to a device", "folder"])
def test_what_is_no_plain_file_is_refused_and_not_waited_for(
    source: DirectorySource, out: Path, path: str, kind: str
) -> None:
    place, pipe = out / path, out / "pipe"
    place.unlink()
    os.mkfifo(pipe)
    match kind:
        case "pipe":
            pipe.rename(place)
        case "link to a pipe":
            place.symlink_to(pipe)
        case "link to a device":
            place.symlink_to("/dev/zero")
        case _:
            place.mkdir()

    with pytest.raises(SourceError, match="is not a plain file"):
        source.fetch(None)


def test_a_planted_link_brings_nothing_of_this_host_into_the_bundle(
    source: DirectorySource, out: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"s3cret")
    (out / "nodes/a/cds.json").unlink()
    (out / "nodes/a/cds.json").symlink_to(secret)

    with pytest.raises(SourceError, match="not the file that the manifest names") as caught:
        source.fetch(None)

    assert "s3cret" not in f"{caught.value.message}{caught.value.hint}"


def test_closing_stops_the_notices(source: DirectorySource, out: Path) -> None:
    notified: list[float] = []
    source.watch(notified.append)
    source.fetch(None)
    NEW.write(out)
    until(lambda: bool(notified), "a notice")

    source.close()
    count = len(notified)
    OLD.write(out)
    NEW.write(out)

    assert len(notified) == count
