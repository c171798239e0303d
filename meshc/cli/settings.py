"""Settings from meshc.toml or pyproject.toml, below the environment and the flags."""

from __future__ import annotations

import difflib
import re
import tomllib
from typing import TYPE_CHECKING, Any

from meshc.diagnostics.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

SHARED = ("specs", "out", "envoy", "require-envoy", "strict", "cache", "color")
"""Settings that hold for every command with an option of that name."""
_NO_PROGRAM = ("none", "auto")
_NAMES_ENVOY = re.compile(r"""\s*(?:tool\.meshc\.)?["']?envoy["']?\s*=""")


def load_settings(explicit: Path | None, folder: Path) -> dict[str, Any]:
    """Return the settings that hold in a folder, by option name.

    ``explicit`` is the file of ``--config``; else meshc.toml of the folder, else ``[tool.meshc]``
    of its pyproject.toml.  Raises SettingsError where the file cannot be used as it stands.
    """
    if explicit is not None:
        table = _checked(read_toml(explicit), explicit)
        if explicit.resolve().is_relative_to(_checkout(folder)):
            _refuse_program(table, explicit)
        return table
    own = folder / "meshc.toml"
    if own.is_file():
        return _refuse_program(_checked(read_toml(own), own), own)
    project = folder / "pyproject.toml"
    if project.is_file():
        table = read_toml(project).get("tool", {}).get("meshc", {})
        return _refuse_program(_checked(table, project), project)
    return {}


def _checkout(folder: Path) -> Path:
    """Return the folder above which nothing came with the specs."""
    here = folder.resolve()
    return next((one for one in (here, *here.parents) if (one / ".git").exists()), here)


def _refuse_program(table: dict[str, Any], path: Path) -> dict[str, Any]:
    """Refuse a program that a checkout brings or names: meshc would run it."""
    program = table.get("envoy")
    if program is not None and program not in _NO_PROGRAM:
        lines = path.read_text(encoding="utf-8").splitlines()
        line = next((at for at, text in enumerate(lines, start=1) if _NAMES_ENVOY.match(text)), 1)
        raise SettingsError(
            f"{path}:{line}:1: a checkout must not say which program is run as Envoy",
            hint="say it with --envoy or MESHC_ENVOY, or in a settings file outside of the "
            "checkout, given with --config",
            code="MC704",
        )
    return table


def read_toml(path: Path) -> dict[str, Any]:
    """Return what a TOML file says; raises SettingsError."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise SettingsError(f'cannot read settings "{path}": {reason}') from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f'"{path}" is not TOML: {error}') from error


def _checked(table: Any, path: Path) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise SettingsError(f'[tool.meshc] in "{path}" is not a table')
    for key, value in table.items():
        if key not in SHARED:
            close = difflib.get_close_matches(key, SHARED, n=1)
            hint = f'did you mean "{close[0]}"?' if close else "known: " + ", ".join(SHARED)
            raise SettingsError(f'unknown setting "{key}" in "{path}"', hint=hint)
        if not isinstance(value, str | bool):
            raise SettingsError(f'setting "{key}" in "{path}" must be text, true or false')
    return dict(table)
