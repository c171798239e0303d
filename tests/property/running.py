"""Running the product on a generated mesh, in a folder of its own."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings

from meshc.diagnostics import Diagnostic, DiagnosticSink
from meshc.diagnostics.diagnostic import Severity
from meshc.pipeline import BuildOptions, BuildResult, build, read_mesh
from tests.property.meshes import THOROUGHNESS
from tests.property.writing import Written, write_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.property.meshes import Documents


def tries(short: int) -> settings:
    """Settings of a property; meshes are large, so that drawing them is what takes time."""
    return settings(
        max_examples=short * THOROUGHNESS,
        deadline=None,
        database=None,
        derandomize=THOROUGHNESS == 1,
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.filter_too_much,
            HealthCheck.large_base_example,
        ],
    )


@contextmanager
def folder() -> Iterator[Path]:
    """A fresh folder for one example."""
    with tempfile.TemporaryDirectory(prefix="meshc-property-") as name:
        yield Path(name)


@dataclass
class Checked:
    """Texts with places, and all that was found in them."""

    written: dict[str, Written]
    found: tuple[Diagnostic, ...]

    @property
    def errors(self) -> list[tuple[str, str, int, int]]:
        return [
            (finding.code, *_place(finding))
            for finding in self.found
            if finding.severity is Severity.ERROR
        ]

    @property
    def warnings(self) -> list[tuple[str, str, int, int]]:
        return [
            (finding.code, *_place(finding))
            for finding in self.found
            if finding.severity is Severity.WARNING
        ]

    @property
    def warned(self) -> set[tuple[str, str]]:
        """Warnings without their places, which move when a document changes."""
        return {
            (finding.code, finding.message)
            for finding in self.found
            if finding.severity is Severity.WARNING
        }


def _place(finding: Diagnostic) -> tuple[str, int, int]:
    span = finding.span
    return ("", 0, 0) if span is None else (span.file, span.line, span.column)


def check(documents: Documents, style: int = 9) -> Checked:
    """Everything that meshc says about a mesh before it compiles anything."""
    with folder() as path:
        (path / "specs").mkdir()
        written = write_all(documents, path / "specs", style)
        sink = DiagnosticSink()
        read_mesh(path / "specs", sink)
        return Checked(written, sink.sorted())


def build_in(
    path: Path, documents: Documents, *, style: int = 9, envoy: Path | None = None
) -> BuildResult:
    """Build a mesh into ``path/out`` without a cache."""
    specs = path / "specs"
    specs.mkdir()
    write_all(documents, specs, style)
    return build(specs, BuildOptions(out=path / "out", envoy=envoy))


def files_of(documents: Documents, style: int = 9) -> dict[str, bytes]:
    """Build a mesh that must be right, and read all files back."""
    with folder() as path:
        result = build_in(path, documents, style=style)
        assert not result.has_errors, result.diagnostics
        out = path / "out"
        return {
            file.relative_to(out).as_posix(): file.read_bytes()
            for file in sorted(out.rglob("*"))
            if file.is_file()
        }
