"""Build a Go program from the source of its module, into the user's cache, for the tests.

For programs that no package manager here has, or has without what the tests need.  What they
depend on is checked against their own `go.sum`, and that source against a digest given here.
"""

# ruff: noqa: T201, this is what programs say
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# Read when this is imported: tests have a cache of their own.
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
TOOLS = _CACHE / "meshc" / "tools"
_ENVIRONMENT = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly"}


@dataclass(frozen=True, slots=True, kw_only=True)
class GoProgram:
    """Programs of one module: ``made`` maps their names in the cache to packages."""

    name: str
    module: str
    version: str
    digest: str
    made: dict[str, str]
    flags: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        return TOOLS / self.name

    def path(self, name: str) -> Path:
        return self.folder / name

    @property
    def is_there(self) -> bool:
        return all(os.access(self.path(name), os.X_OK) for name in self.made)

    def bring(self, prepare: Callable[[Path], None] | None = None) -> int:
        """Build what is not there yet; ``prepare`` may change the source before."""
        if not self.is_there:
            if shutil.which("go") is None:
                print(f"{self.name} is built with Go, and there is none", file=sys.stderr)
                return 3
            print(f"building {self.name} into {self.folder} …", flush=True)
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".building-", dir=TOOLS) as folder:
                try:
                    self._build(Path(folder), prepare)
                except subprocess.CalledProcessError as error:
                    print(f"the build failed: {error}", file=sys.stderr)
                    return 3
        print(f"{self.name}: {self.folder}")
        return 0

    def _build(self, folder: Path, prepare: Callable[[Path], None] | None) -> None:
        source = folder / "source"
        shutil.copytree(self._downloaded(), source)
        for place in [source, *source.rglob("*")]:
            place.chmod(place.stat().st_mode | 0o200)  # the module cache is read-only
        if prepare is not None:
            prepare(source)
        for name, package in self.made.items():
            run_go(
                source,
                "build",
                "-trimpath",
                "-buildvcs=false",
                *self.flags,
                "-o",
                str(folder / name),
                package,
            )
            (folder / name).replace(self.path(name))

    def _downloaded(self) -> Path:
        said = subprocess.run(
            ["go", "mod", "download", "-json", f"{self.module}@{self.version}"],
            cwd=tempfile.gettempdir(),  # in no module
            check=True,
            capture_output=True,
            text=True,
            env={**_ENVIRONMENT, "GOFLAGS": ""},
        ).stdout
        found = json.loads(said)
        if found["Sum"] != self.digest:
            raise SystemExit(f"the source of {self.name} is {found['Sum']} and not {self.digest}")
        return Path(found["Dir"])


def run_go(folder: Path, *arguments: str) -> None:
    """Run the Go tool in a folder, with the toolchain that is installed."""
    subprocess.run(["go", *arguments], cwd=folder, check=True, env=_ENVIRONMENT)
