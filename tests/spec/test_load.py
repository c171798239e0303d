"""From a folder to documents: which files, which names, which findings with which words."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from meshc.diagnostics import DiagnosticSink
from meshc.diagnostics.errors import SourceError
from meshc.spec.folder import find_spec_files
from meshc.spec.load import load_specs
from tests.model.reading import calls, host, lines, linked, loaded, service, write

if TYPE_CHECKING:
    from pathlib import Path

APP = service(host("app1"))


# Files.


def test_documents_are_found_in_all_sub_folders_in_the_order_of_their_paths(tmp_path: Path) -> None:
    texts = dict.fromkeys(["b.yaml", "a/z.yml", "a/deep/er.json", "a.json", "notes.txt"], "")
    write(tmp_path, texts)

    found = [path.relative_to(tmp_path).as_posix() for path in find_spec_files(tmp_path)]

    assert found == ["a.json", "a/deep/er.json", "a/z.yml", "b.yaml"]


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path, {".app.yaml": "{", ".git/app.yaml": "{", "app.yaml": APP})

    assert [path.name for path in find_spec_files(tmp_path)] == ["app.yaml"]


def test_a_linked_folder_is_not_followed(tmp_path: Path) -> None:
    write(tmp_path, {"specs/app.yaml": APP, "other/db.yaml": APP})
    (tmp_path / "specs" / "link").symlink_to(tmp_path / "other")

    assert [path.name for path in find_spec_files(tmp_path / "specs")] == ["app.yaml"]


def test_a_linked_file_is_read(tmp_path: Path) -> None:
    write(tmp_path, {"specs/app.yaml": APP})
    (tmp_path / "specs" / "db.yaml").symlink_to("app.yaml")

    specs = load_specs(tmp_path / "specs", DiagnosticSink())

    assert [service.name for service in specs.services] == ["app", "db"]


@pytest.mark.parametrize("target", ["../token", "/etc/hostname", "../specs-of-others/a.yaml"])
def test_a_link_that_leads_out_is_refused_and_nothing_behind_it_is_shown(
    tmp_path: Path, target: str
) -> None:
    write(tmp_path, {"specs/app.yaml": APP, "token": "secret", "specs-of-others/a.yaml": APP})
    (tmp_path / "specs" / "db.yaml").symlink_to(target)

    with pytest.raises(SourceError, match=r"db.yaml\" is a link that leads out of the spec folder"):
        load_specs(tmp_path / "specs", DiagnosticSink())


@pytest.mark.parametrize("ending", ["yaml", "yml", "json"])
def test_the_name_of_a_service_is_its_files(tmp_path: Path, ending: str) -> None:
    text = '{"protocol": "TCP"}'

    specs, found = loaded(tmp_path, {f"team/app-1.{ending}": text})

    assert found == []
    assert [service.name for service in specs.services] == ["app-1"]


def test_a_name_in_the_document_stands_above_the_files(tmp_path: Path) -> None:
    specs, found = loaded(tmp_path, {"my app.v2.yaml": "name: app\n" + APP})

    assert found == []
    assert [service.name for service in specs.services] == ["app"]


@pytest.mark.parametrize("stem", ["my app", "app.v2", "x" * 65, "é"])
def test_a_file_whose_name_is_no_service_name_needs_one_in_the_document(
    tmp_path: Path, stem: str
) -> None:
    sink = DiagnosticSink()
    specs = load_specs(write(tmp_path, {f"{stem}.yaml": "# First.\n" + APP}), sink)

    (found,) = sink.sorted()
    assert specs.services == ()
    assert found.code == "MC205"
    assert found.message.startswith("the file's name ")
    assert str(found.span) == f"{stem}.yaml:2:1"
    assert found.hint == (
        'names are 1 to 64 letters, digits, "-" and "_", and do not begin with "-"; '
        "rename the file or add name:"
    )


@pytest.mark.parametrize("ending", ["yaml", "yml", "json"])
def test_the_mesh_has_one_document_at_the_top(tmp_path: Path, ending: str) -> None:
    specs, found = loaded(tmp_path, {f"mesh.{ending}": '{"name": "shop"}', "app.yaml": APP})

    assert found == []
    assert specs.mesh.name == "shop"
    assert len(specs.mesh_digest) == 32
    assert [service.name for service in specs.services] == ["app"]


def test_mesh_in_a_sub_folder_is_a_service(tmp_path: Path) -> None:
    specs, found = loaded(tmp_path, {"team/mesh.yaml": APP})

    assert found == []
    assert [service.name for service in specs.services] == ["mesh"]
    assert specs.mesh_document is None
    assert specs.mesh_digest == ""


def test_a_second_mesh_document_is_reported_with_the_first(tmp_path: Path) -> None:
    sink = DiagnosticSink()
    load_specs(write(tmp_path, {"mesh.yml": "name: b\n", "mesh.json": " {}\n"}), sink)

    (found,) = sink.sorted()
    assert lines((found,)) == [
        'MC303 mesh.yml:1:1: the mesh is described twice, in "mesh.json" and "mesh.yml"'
    ]
    assert found.hint == "keep one of the two files"
    assert [(str(one.span), one.message) for one in found.related] == [
        ("mesh.json:1:2", "the first one")
    ]


def test_an_empty_folder_has_no_documents(tmp_path: Path) -> None:
    specs, found = loaded(tmp_path, {})

    assert (specs.services, specs.mesh_document, found) == ((), None, [])


# The world.


def test_a_folder_that_does_not_exist_is_an_error_of_the_world(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not exist") as raised:
        find_spec_files(tmp_path / "specs")

    assert raised.value.hint == (
        "give the folder with --specs, or make a first mesh with: meshc init DIR"
    )


def test_a_file_in_place_of_the_folder_is_an_error_of_the_world(tmp_path: Path) -> None:
    write(tmp_path, {"specs": ""})

    with pytest.raises(SourceError, match='specs" is no folder'):
        find_spec_files(tmp_path / "specs")


def test_a_folder_that_cannot_be_read_is_an_error_of_the_world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests may run as root, who can read everything."""

    def refuse(_folder: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("meshc.spec.folder.os.scandir", refuse)

    with pytest.raises(SourceError, match="cannot read spec folder .*: Permission denied"):
        find_spec_files(tmp_path)


def test_a_link_to_nowhere_is_an_error_of_the_world(tmp_path: Path) -> None:
    (tmp_path / "app.yaml").symlink_to("nowhere")

    with pytest.raises(SourceError, match='cannot read spec "app.yaml": no such file'):
        load_specs(tmp_path, DiagnosticSink())


def test_a_pipe_is_an_error_of_the_world(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "app.yaml")

    with pytest.raises(SourceError, match='spec "app.yaml" is not a file'):
        load_specs(tmp_path, DiagnosticSink())


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"a\nb.yaml", r"a\\nb.yaml"),
        (b"\x1b[31m.yaml", r"\\x1b\[31m.yaml"),
        (b"\xff.yaml", r"\\udcff.yaml"),
        ("\u202e.yaml".encode(), r"\\u202e.yaml"),
        (b"folder\r", r"folder\\r"),
    ],
)
def test_a_file_name_that_cannot_be_shown_is_an_error_of_the_world(
    tmp_path: Path, name: bytes, shown: str
) -> None:
    with open(os.fsencode(tmp_path) + b"/" + name, "wb") as file:  # noqa: PTH123, bytes
        file.write(APP.encode())

    with pytest.raises(SourceError, match=f'the name "{shown}" in the spec folder cannot be shown'):
        load_specs(tmp_path, DiagnosticSink())


# The cache.


class Memory:
    """Remembers data, and what it was asked for."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {}
        self.asked: list[str] = []

    def get(self, digest: str) -> Any | None:
        self.asked.append(digest)
        return self.data.get(digest)

    def put(self, digest: str, data: Any) -> None:
        self.data[digest] = data


def test_a_remembered_document_is_not_parsed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = Memory()
    write(tmp_path, {"app.yaml": APP})
    first = load_specs(tmp_path, DiagnosticSink(), memory)
    monkeypatch.setattr("meshc.spec.load.parse_yaml", None)

    second = load_specs(tmp_path, DiagnosticSink(), memory)

    assert [service.spec for service in second.services] == [
        service.spec for service in first.services
    ]
    assert memory.asked == [first.services[0].document.source.digest] * 2


def test_a_remembered_document_still_knows_its_places(tmp_path: Path) -> None:
    memory = Memory()
    write(tmp_path, {"app.yaml": "protocol: HTPP\n"})
    for _ in range(2):
        sink = DiagnosticSink()

        load_specs(tmp_path, sink, memory)

        assert [str(found.span) for found in sink.sorted()] == ["app.yaml:1:11"]


def test_a_document_with_mistakes_in_its_text_is_not_remembered(tmp_path: Path) -> None:
    memory = Memory()
    write(tmp_path, {"app.yaml": "a: [\n"})

    load_specs(tmp_path, DiagnosticSink(), memory)

    assert memory.data == {}


# Poisoned names.


@pytest.mark.parametrize(
    "broken",
    [
        {"app.yaml": "protocol: [\n"},
        {"app.yaml": "\0"},
        {"app.yaml": "protocol: HTPP\n"},
        {"app.yaml": "[]\n"},
        {"app.json": "{"},
        {"one.yaml": "name: app\nprotocol: HTPP\n"},
    ],
)
def test_nobody_is_told_that_a_broken_service_is_missing(
    tmp_path: Path, broken: dict[str, str]
) -> None:
    front = service(host("front1"), more=calls("app"))

    _, found = linked(tmp_path, {"front.yaml": front, **broken})

    assert "MC306" not in [finding.code for finding in found]
    assert len(found) == 1


def test_a_broken_document_is_known_by_its_file_and_by_its_name(tmp_path: Path) -> None:
    specs, _ = loaded(tmp_path, {"x/one.yaml": "name: app\nprotocol: A\n", "two.yaml": "name: 5\n"})

    assert specs.poisoned == {"one", "app", "two"}


def test_a_broken_mesh_document_leaves_the_defaults(tmp_path: Path) -> None:
    specs, found = loaded(tmp_path, {"mesh.yaml": "name: shop\nroutes: no\n", "app.yaml": APP})

    assert len(found) == 1
    assert specs.mesh.name == "mesh"


def test_a_broken_mesh_document_gives_no_clash_with_the_default_admin_port(tmp_path: Path) -> None:
    app = service(host("app1", app=9901))

    _, found = linked(tmp_path, {"app.yaml": app, "mesh.yaml": "admin: {port: 9000}\nroutes: no\n"})

    assert [finding.code for finding in found] == ["MC204"]
