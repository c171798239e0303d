"""What a single mistake in a mesh is made with, and the finding that it must give.

A corruption changes the documents in place and returns what must be found; the place is a path
in a document, which the test turns into line and column by the text that it wrote itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from tests.property.meshes import (
    Documents,
    is_settings,
    name_of,
)

if TYPE_CHECKING:
    from tests.property.values import Data
    from tests.property.writing import Path

FREE_PORT = 61_234
"""A port that no generated mesh uses."""


@dataclass(frozen=True)
class Expected:
    """One finding: its code, and the key or value that it points at."""

    code: str
    file: str
    path: Path
    is_key: bool = False


class NotApplicableError(Exception):
    """This mesh has nothing that could be wrong in this way."""


def need(condition: object) -> None:
    if not condition:
        raise NotApplicableError


class Pick:
    """Chooses the part of a mesh that becomes wrong."""

    def __init__(self, data: st.DataObject, documents: Documents) -> None:
        self.data = data
        self.documents = documents

    def one(self, choices: list[Any]) -> Any:
        need(choices)
        return self.data.draw(st.sampled_from(choices))

    def hosts(self, *, inside: bool = True) -> list[tuple[str, int]]:
        key = "ingressAddr" if inside else "externalAddr"
        return [
            (file, index)
            for file, document in sorted(self.documents.items())
            for index, host in enumerate(document.get("hosts", []))
            if key in host
        ]

    def host(self) -> tuple[str, int, Data]:
        file, index = self.one(self.hosts())
        return file, index, self.documents[file]["hosts"][index]

    def dependency(self) -> tuple[str, int, Data]:
        """A dependency; one is added where the mesh has none."""
        found = [
            (file, index)
            for file, document in sorted(self.documents.items())
            for index, _ in enumerate(document.get("dependentServices", []))
        ]
        if not found:
            file, document = self.caller()
            called = document["dependentServices"] = [
                {"name": self.one(self.callable_from(file)), "egressPort": FREE_PORT + 1}
            ]
            return file, 0, called[0]
        file, index = self.one(found)
        return file, index, self.documents[file]["dependentServices"][index]

    def callable_from(self, caller: str) -> list[str]:
        """Services with hosts, so that calling them gives no warning."""
        files = {file for file, _ in self.hosts() + self.hosts(inside=False)} - {caller}
        return sorted(name_of(file, self.documents[file]) for file in files)

    def caller(self) -> tuple[str, Data]:
        """A service that may have dependencies."""
        files = [
            file
            for file, document in sorted(self.documents.items())
            if not is_settings(file)
            and not any("externalAddr" in host for host in document.get("hosts", []))
        ]
        file = self.one(files)
        return file, self.documents[file]

    def service(self) -> tuple[str, Data]:
        file = self.one([file for file in sorted(self.documents) if not is_settings(file)])
        return file, self.documents[file]

    def entries(self, node: str) -> list[tuple[str, str, int]]:
        """Entries of a host as (service, file, index), in the order of services."""
        return sorted(
            (name_of(file, self.documents[file]), file, index)
            for file, index in self.hosts()
            if self.documents[file]["hosts"][index]["name"] == node
        )

    def places(self, *keys: str) -> list[tuple[str, Path]]:
        """Every value with one of these keys, labels aside."""
        return [
            (file, path)
            for file, document in sorted(self.documents.items())
            for path, _ in walk(document)
            if path and path[-1] in keys
        ]

    def value(self, *keys: str) -> tuple[str, Path, Any]:
        """One value with one of these keys, of the file that has it and of its parent."""
        file, path = self.one(self.places(*keys))
        parent = self.documents[file]
        for part in path[:-1]:
            parent = parent[part]
        return file, path, parent


def walk(data: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """All places of a document that its schema names."""
    yield path, data
    if isinstance(data, dict):
        for key, value in data.items():
            if key != "labels":
                yield from walk(value, (*path, key))
            else:
                yield (*path, key), value
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from walk(value, (*path, index))


Corruption = Callable[[Pick], list[Expected]]


def corrupts(group: list[Corruption]) -> Callable[[Corruption], Corruption]:
    def note(function: Corruption) -> Corruption:
        group.append(function)
        return function

    return note
