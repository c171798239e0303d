"""One file is replaced at once, and a whole set is laid out."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from meshc.delivery.agent.swap import put_file, read_files, remove_file, sole_writer
from meshc.delivery.errors import DeliveryError
from meshc.delivery.materialize import materialize
from tests.delivery.node_files import bundle, identities

if TYPE_CHECKING:
    from collections.abc import Iterator

FILES = {
    "bootstrap.json": b"boot",
    "cds.json": b"cds",
    "lds.json": b"lds",
    "services/app/eds.json": b"eds",
    "services/app/rds-outbound.json": b"rds",
}


@pytest.fixture
def strict_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("strict_umask")
def test_a_file_is_readable_by_envoys_user_whatever_the_umask(tmp_path: Path) -> None:
    put_file(tmp_path, "services/app/eds.json", b"x")

    assert stat.S_IMODE((tmp_path / "services/app/eds.json").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "services/app").stat().st_mode) == 0o755


def test_a_file_is_replaced_and_never_written_in_place(tmp_path: Path) -> None:
    target = tmp_path / "lds.json"
    target.write_bytes(b"old")
    with target.open("rb") as reader:
        put_file(tmp_path, "lds.json", b"new")

        assert reader.read() == b"old"
    assert target.read_bytes() == b"new"


def test_nothing_but_the_rename_happens_in_a_watched_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    real = os.open

    def noting(
        path: str | os.PathLike[str], flags: int, mode: int = 0o777, *, dir_fd: int | None = None
    ) -> int:
        if flags & os.O_WRONLY:
            folder = Path() if dir_fd is None else Path(f"/proc/self/fd/{dir_fd}").readlink()
            opened.append(os.path.relpath(folder / path, tmp_path))
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", noting)
    put_file(tmp_path, "services/app/eds.json", b"x")

    assert opened == [".meshc/next"]


def test_nothing_is_left_of_a_delivery_that_was_killed(tmp_path: Path) -> None:
    (tmp_path / ".meshc").mkdir()
    (tmp_path / ".meshc/next").write_bytes(b"half")

    with sole_writer(tmp_path):
        assert not (tmp_path / ".meshc").exists()
        put_file(tmp_path, "lds.json", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["lds.json"]


def test_a_second_delivery_into_the_same_directory_is_refused(tmp_path: Path) -> None:
    with (
        sole_writer(tmp_path),
        pytest.raises(DeliveryError, match="another delivery"),
        sole_writer(tmp_path),
    ):
        pass


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_only_plain_files_are_replaced(tmp_path: Path, kind: str) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"mine")
    target = tmp_path / "lds.json"
    if kind == "link":
        target.symlink_to(other)
    else:
        target.mkdir()

    with pytest.raises(DeliveryError, match="not a plain file"):
        put_file(tmp_path, "lds.json", b"new")
    assert other.read_bytes() == b"mine"


@pytest.mark.parametrize(
    "path",
    ["../x.json", "/etc/x", "services/../../x", "services/a/../x", "x.json", "services/a/.x", ""],
)
def test_no_name_leads_out_of_the_layout(tmp_path: Path, path: str) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()

    with pytest.raises(DeliveryError, match="no file of a node"):
        put_file(inner, path, b"x")
    with pytest.raises(DeliveryError, match="no file of a node"):
        remove_file(inner, path)
    assert [path.name for path in tmp_path.rglob("*")] == ["inner"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lds.json").write_bytes(b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DeliveryError, match="No space left"):
        put_file(tmp_path, "lds.json", b"new")
    assert (tmp_path / "lds.json").read_bytes() == b"old"


def test_a_set_is_laid_out_with_shared_files_first(tmp_path: Path) -> None:
    result = materialize(bundle(FILES), tmp_path / "new" / "host")

    assert result.written == (
        "services/app/eds.json",
        "services/app/rds-outbound.json",
        "cds.json",
        "lds.json",
        "bootstrap.json",
    )
    assert read_files(tmp_path / "new" / "host") == FILES


def test_a_second_materialize_touches_nothing(tmp_path: Path) -> None:
    materialize(bundle(FILES), tmp_path)
    before = identities(tmp_path)

    result = materialize(bundle(FILES), tmp_path)

    assert (result.written, result.removed) == ((), ())
    assert sorted(result.unchanged) == sorted(FILES)
    assert identities(tmp_path) == before


def test_materialize_removes_only_what_meshc_lays_out(tmp_path: Path) -> None:
    materialize(bundle(FILES), tmp_path)
    (tmp_path / "access.log").write_bytes(b"log")
    others = ("services/app/notes.txt", "services/app/package.json", "services/billing/sds.json")
    for path in others:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(b"mine")
    fewer = {path: data for path, data in FILES.items() if not path.startswith("services/")}

    result = materialize(bundle(fewer | {"lds.json": b"lds2"}), tmp_path)

    assert result.written == ("lds.json",)
    assert result.removed == ("services/app/eds.json", "services/app/rds-outbound.json")
    assert (tmp_path / "access.log").exists()
    assert {(tmp_path / path).read_bytes() for path in others} == {b"mine"}


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(DeliveryError, match="cannot create"):
        materialize(bundle(FILES), tmp_path / "file" / "below")
