"""Documents between files and a store."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from meshc.diagnostics.errors import OutputError, SourceError
from meshc.store.errors import StoreError
from meshc.store.files import Export, export_documents, read_folder, read_wanted
from meshc.store.snapshot import StoredDocument
from tests.model.reading import write
from tests.store.wishes import APP, FRONT

if TYPE_CHECKING:
    from collections.abc import Mapping


def stored(texts: Mapping[str, str]) -> dict[str, StoredDocument]:
    return {
        name: StoredDocument(name=name, content=text.encode(), index=1)
        for name, text in texts.items()
    }


def exported(folder: Path, texts: Mapping[str, str], *, is_pruning: bool = False) -> Export:
    return export_documents(stored(texts), folder, is_pruning=is_pruning)


def files(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


# Reading.


@pytest.mark.parametrize(
    ("file", "text", "given", "name"),
    [
        ("app.yaml", APP, None, "app"),
        ("app.json", '{"protocol": "TCP"}', None, "app"),
        ("other.yaml", "name: app\n" + APP, None, "app"),
        ("other.yaml", APP, "app", "app"),
        ("other.yaml", "name: shop\n" + APP, "app", "app"),
        ("app.yaml", "protocol: [", None, "app"),
        ("mesh.yaml", "name: shop\n", None, "mesh"),
        ("settings.yaml", "name: shop\n", "mesh", "mesh"),
    ],
)
def test_a_document_has_the_name_that_is_given_or_its_own_or_its_files(
    tmp_path: Path, file: str, text: str, given: str | None, name: str
) -> None:
    write(tmp_path, {file: text})

    (found,) = read_wanted([tmp_path / file], given)

    assert (found.name, found.is_mesh) == (name, name == "mesh")
    assert found.content == text.encode()
    assert found.shown == (tmp_path / file).as_posix()


def test_a_folder_gives_all_its_documents_and_the_mesh_at_its_top(tmp_path: Path) -> None:
    write(tmp_path, {"mesh.yaml": "", "a.yaml": APP, "team/b.yaml": APP, "team/mesh.yaml": APP})

    found = read_folder(tmp_path)

    assert [(one.name, one.is_mesh) for one in found] == [
        ("a", False),
        ("mesh", True),
        ("b", False),
        ("mesh", False),
    ]


def test_standard_input_is_a_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(APP.encode())))

    (found,) = read_wanted([Path("-")], "app")

    assert (found.name, found.shown, found.content) == ("app", "stdin.yaml", APP.encode())


def test_a_file_that_is_not_there_is_an_error_of_the_world(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot read .*nowhere.yaml.*: no such file"):
        read_wanted([tmp_path / "nowhere.yaml"], None)


def test_a_file_whose_name_cannot_be_shown_is_an_error_of_the_world(tmp_path: Path) -> None:
    write(tmp_path, {"a\nb.yaml": APP})

    with pytest.raises(SourceError, match="cannot be shown"):
        read_wanted([tmp_path / "a\nb.yaml"], "app")


# Exporting.


def test_documents_are_written_as_they_were_stored(tmp_path: Path) -> None:
    texts = {"app": "\ufeff" + APP, "front": FRONT, "db": '{"protocol": "TCP"}', "mesh": "# Ours\n"}

    done = exported(tmp_path / "a" / "specs", texts)

    assert files(tmp_path / "a" / "specs") == {
        "app.yaml": "\ufeff" + APP,
        "front.yaml": FRONT,
        "db.json": '{"protocol": "TCP"}',
        "mesh.yaml": "# Ours\n",
    }
    assert sorted(done.written) == ["app.yaml", "db.json", "front.yaml", "mesh.yaml"]


def test_files_that_stay_the_same_are_not_touched(tmp_path: Path) -> None:
    exported(tmp_path, {"app": APP, "front": FRONT})
    before = (tmp_path / "app.yaml").stat()

    done = exported(tmp_path, {"app": APP, "front": FRONT + "# More.\n"})

    assert (done.written, done.unchanged) == (("front.yaml",), ("app.yaml",))
    after = (tmp_path / "app.yaml").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_folder_with_other_documents_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path, {"team/db.yaml": APP, "notes.txt": "mine"})

    with pytest.raises(StoreError, match="the store does not have: team/db.yaml"):
        exported(tmp_path, {"app": APP})

    assert not (tmp_path / "app.yaml").exists()


def test_other_documents_go_if_that_is_asked_for_and_other_files_stay(tmp_path: Path) -> None:
    write(tmp_path, {"db.yml": APP, "notes.txt": "mine", ".hidden.yaml": "mine"})

    done = exported(tmp_path, {"app": APP}, is_pruning=True)

    assert done.removed == ("db.yml",)
    assert files(tmp_path) == {"app.yaml": APP, "notes.txt": "mine", ".hidden.yaml": "mine"}


def test_exported_files_may_be_read_by_whom_the_user_lets_read(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        exported(tmp_path, {"app": APP})
    finally:
        os.umask(before)

    assert (tmp_path / "app.yaml").stat().st_mode & 0o777 == 0o640


def test_a_folder_that_cannot_be_written_is_an_error_of_the_world(tmp_path: Path) -> None:
    write(tmp_path, {"specs": "a file"})

    with pytest.raises(OutputError, match='cannot write ".*specs"'):
        exported(tmp_path / "specs", {"app": APP})


def test_a_write_that_fails_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_source: object, _target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("meshc.store.files.os.replace", refuse)

    with pytest.raises(OutputError, match="No space left on device"):
        exported(tmp_path, {"app": APP})

    assert list(tmp_path.iterdir()) == []
