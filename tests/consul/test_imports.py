"""Who does not use Consul pays nothing for it."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "modules",
    [
        "meshc.delivery.agent.run, meshc.delivery.agent.sources.directory",
        "meshc.cli.main, meshc.cli.agent, meshc.cli.publish, meshc.cli.consul, meshc.cli.svc",
        "meshc.pipeline",
    ],
)
def test_consul_and_its_libraries_are_loaded_by_who_speaks_to_it_only(modules: str) -> None:
    code = (
        f"import sys, {modules}\n"
        "print(sorted({one.split('.')[0] for one in sys.modules} & {'consul', 'urllib3'}))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert loaded.stdout == "[]\n"
