"""Files that one Envoy watches are counted: one for each cluster and route file, none for rules."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from meshc.pipeline import BuildOptions, build
from tests.case import CASES

if TYPE_CHECKING:
    from pathlib import Path

EDGE = 12
"""Clusters and listeners; endpoints of app twice, of legacy-db twice, of search; routes: two
inbound, three outbound."""


@pytest.mark.parametrize(("limit", "codes"), [(EDGE, []), (EDGE - 1, ["MC401"])])
def test_endpoints_of_one_caller_are_a_file_of_their_own(
    tmp_path: Path, limit: int, codes: list[str]
) -> None:
    shutil.copytree(CASES / "consul-health" / "specs", tmp_path / "specs")
    (tmp_path / "specs" / "mesh.yaml").write_text(f"limits: {{fileSubscriptions: {limit}}}\n")

    result = build(tmp_path / "specs", BuildOptions(out=tmp_path / "out"))

    assert [one.code for one in result.diagnostics] == codes
