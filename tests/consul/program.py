"""Find the real Consul that the tests run."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

VERSION = (1, 20, 1)
_NAME = "consul-" + ".".join(map(str, VERSION))
# Asked for when this module is loaded: the tests themselves get a cache of their own.
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
BUILT = _CACHE / "meshc" / "tools" / _NAME / "consul"


def version_of(program: Path) -> tuple[int, ...] | None:
    """The version of a Consul; None where the program is something else or does not run."""
    try:
        said = subprocess.run(
            [program, "version"], capture_output=True, text=True, check=False, timeout=30
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.match(r"Consul v(\d+)\.(\d+)\.(\d+)", said)
    return None if found is None else tuple(int(one) for one in found.groups())


@functools.cache
def find_consul() -> Path | None:
    """The Consul on the PATH if it is new enough; else the one that `make consul` has built."""
    on_path = shutil.which("consul")
    for candidate in ([Path(on_path)] if on_path else []) + [BUILT]:
        version = version_of(candidate)
        if version is not None and version >= VERSION:
            return candidate
    return None


def consul_or_skip() -> Path:
    found = find_consul()
    if found is None:
        wanted = ".".join(map(str, VERSION))
        message = f"no Consul {wanted} or newer on the PATH, and none built: make consul"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found
