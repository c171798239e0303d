"""`make consul`: build the Consul of the tests from its Go module, once, into the user's cache.

There is no other way to it that the index of a package manager offers, and Go checks every
module against `go.sum`.  Releases after this one cannot be built as a module: their own
`replace` lines, which only count in the main module, point into their repository.
"""

# ruff: noqa: T201, this is a program
from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.consul.program import BUILT, VERSION, find_consul, version_of

_MODULE = Path(__file__).parent.parent / "tools" / "consul"
_PACKAGE = "github.com/hashicorp/consul"
_LEAST_GO = (1, 24)
_WANTED = ".".join(map(str, VERSION))


def go_version() -> tuple[int, int] | None:
    """The version of the Go on the PATH; None where there is none."""
    program = shutil.which("go")
    if program is None:
        return None
    said = subprocess.run(
        [program, "env", "GOVERSION"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=tempfile.gettempdir(),  # in a module, it would be another one that the module wants
    ).stdout
    found = re.match(r"go(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else None


def build(target: Path) -> None:
    """Build into a folder of its own and rename: a build that is killed leaves nothing half."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".building-", dir=target.parent) as folder:
        made = Path(folder) / "consul"
        subprocess.run(
            ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", made, _PACKAGE],
            cwd=_MODULE,
            check=True,
            env={**os.environ, "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"},
        )
        if version_of(made) != VERSION:
            raise SystemExit(f"what was built is not Consul {_WANTED}")
        made.replace(target)


def main() -> int:
    found = find_consul()
    if found is not None:
        print(f"Consul: {found}")
        return 0
    have = go_version()
    if have is None or have < _LEAST_GO:
        least = ".".join(map(str, _LEAST_GO))
        shown = "there is no Go" if have is None else f"this Go is {have[0]}.{have[1]}"
        print(
            f"Consul {_WANTED} is built with Go {least} or newer, and {shown}; install it, "
            f"or put a Consul {_WANTED} or newer on the PATH",
            file=sys.stderr,
        )
        return 3
    print(f"building Consul {_WANTED} into {BUILT.parent} …", flush=True)
    try:
        build(BUILT)
    except subprocess.CalledProcessError as error:
        print(f"the build failed: go ended with {error.returncode}", file=sys.stderr)
        return 3
    print(f"Consul: {BUILT}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
