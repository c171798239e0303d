"""Every case on real Envoys, one a node: they run exactly what the files say, without complaint."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshc.proto import EnvoySchema, load_schema
from tests.case import Case, all_cases
from tests.envoy.checks import check_each_node

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.envoy


@pytest.fixture(scope="module")
def schema() -> EnvoySchema:
    return load_schema("1.40.0")


@pytest.mark.parametrize("case", all_cases(about_mistakes=False), ids=lambda case: case.name)
def test_each_node_runs_what_its_files_say(
    case: Case, tmp_path: Path, envoy_binary: Path, schema: EnvoySchema
) -> None:
    assert check_each_node(case, tmp_path, envoy_binary, schema) > 0
