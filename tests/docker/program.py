"""The Compose of docker-compose.yml's tests, as a program of its own: it needs no Docker engine.

``python -m tests.docker.program`` builds it into the cache, where there is no `docker compose`.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.tools.from_source import GoProgram

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
HOSTS_PATIENCE_S = 90
PROGRAM = GoProgram(
    name="compose-2.40.3",
    module="github.com/docker/compose/v2",
    version="v2.40.3",
    digest="h1:XeYkQu1svDtyfZPv5nTwFryQ25ZJMkIlc4pz9HalMPI=",
    made={"docker-compose": "./cmd"},
    flags=("-ldflags=-s -w -X github.com/docker/compose/v2/internal.Version=2.40.3",),
)


@functools.cache
def find_compose() -> list[str] | None:
    """How Compose is called here: as Docker's plugin, or the one that `make compose` has built."""
    if shutil.which("docker") and not _fails("docker", "compose", "version"):
        return ["docker", "compose"]
    return [str(PROGRAM.path("docker-compose"))] if PROGRAM.is_there else None


def compose_or_skip() -> list[str]:
    found = find_compose()
    if found is None:
        message = f"no docker compose, and none in {PROGRAM.folder}: make compose"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found


def has_engine() -> bool:
    """Whether a Docker engine answers."""
    return shutil.which("docker") is not None and not _fails("docker", "info")


def _fails(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode != 0


@functools.cache
def resolved() -> dict[str, Any]:
    """The file as Compose understands it, with everything merged and put in."""
    said = subprocess.run(
        [*compose_or_skip(), "--file", str(FILE), "config"],
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
    )
    assert said.stderr == ""
    found: dict[str, Any] = yaml.safe_load(said.stdout)
    return found


if __name__ == "__main__":
    raise SystemExit(PROGRAM.bring())
