"""Settings from meshc.toml or pyproject.toml, below the environment and the flags."""

from __future__ import annotations

import difflib
import tomllib
from typing import TYPE_CHECKING, Any

from meshc.diagnostics.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

SHARED = ("specs", "out", "envoy", "require-envoy", "strict", "cache", "color")
"""Settings that hold for every command with an option of that name."""


def load_settings(explicit: Path | None, folder: Path) -> dict[str, Any]:
    """Return the settings that hold in a folder, by option name.

    ``explicit`` is the file of ``--config``; else meshc.toml of the folder, else ``[tool.meshc]``
    of its pyproject.toml.  Raises SettingsError where the file cannot be used as it stands.
    """
    if explicit is not None:
        return _checked(read_toml(explicit), explicit)
    own = folder / "meshc.toml"
    if own.is_file():
        return _checked(read_toml(own), own)
    project = folder / "pyproject.toml"
    if project.is_file():
        table = read_toml(project).get("tool", {}).get("meshc", {})
        return _checked(table, project)
    return {}


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
