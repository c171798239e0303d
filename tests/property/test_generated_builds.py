"""Every mesh without mistakes builds, fits Envoy's schema, and is accepted by a real Envoy."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshc.diagnostics.diagnostic import Severity
from tests.property.meshes import Documents, meshes
from tests.property.running import build_in, check, folder, tries

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.property


@tries(40)
@given(meshes(has_consul=True), st.integers(0, 9))
def test_a_mesh_without_mistakes_builds_and_fits_the_schema(
    documents: Documents, style: int
) -> None:
    with folder() as path:
        result = build_in(path, documents, style=style)

        assert [found for found in result.diagnostics if found.severity is Severity.ERROR] == []
        assert (path / "out" / "manifest.json").is_file()
        if result.nodes:
            assert result.checked > 0


@tries(25)
@given(meshes(has_consul=True), st.integers(0, 9))
def test_warnings_of_a_mesh_without_mistakes_are_of_two_kinds(
    documents: Documents, style: int
) -> None:
    found = check(documents, style).found

    assert {finding.code for finding in found} <= {"MC309", "MC314"}


@pytest.mark.envoy
@tries(15)
@given(documents=meshes(smallest=4, has_consul=True))
def test_a_mesh_without_mistakes_is_accepted_by_a_real_envoy(
    envoy_binary: Path, documents: Documents
) -> None:
    with folder() as path:
        result = build_in(path, documents, envoy=envoy_binary)

        assert [found for found in result.diagnostics if found.severity is Severity.ERROR] == []
        assert result.nodes == 0 or result.judged > 0


@tries(10)
@given(meshes(has_consul=True))
def test_a_second_build_changes_nothing(documents: Documents) -> None:
    with folder() as path:
        build_in(path, documents)
        shutil.rmtree(path / "specs")

        again = build_in(path, documents)

        assert (again.changed, again.removed) == ((), ())
