"""Where `meshc serve` is told what to do: a settings file, above it the environment, then flags."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from meshc.cli.settings import read_toml
from meshc.diagnostics.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_Command = TypeVar("_Command", bound="Callable[..., Any]")

SYSTEM_FILE = Path("/etc/meshc/serve.toml")
PREFIX = "MESHC_SERVE_"
_NO_SETTINGS = ("config", "quiet", "verbose", "color", "help")


def option(*names: str, **attributes: Any) -> Callable[[_Command], _Command]:
    """Make an option that also reads MESHC_SERVE_<NAME>."""
    name = names[0].removeprefix("--")
    return click.option(
        *names,
        envvar=PREFIX + name.upper().replace("-", "_"),
        show_envvar=True,
        **attributes,
    )


def config_option(command: _Command) -> _Command:
    """Add ``--config``, which gives every other option another default."""
    return option(
        "--config",
        type=click.Path(path_type=Path),
        is_eager=True,  # the other options look at what it has read
        expose_value=False,
        callback=_read,
        help=f"Settings file. Default: {SYSTEM_FILE}, if it is there.",
    )(command)


def _read(context: click.Context, _parameter: click.Parameter, file: Path | None) -> None:
    group = context if isinstance(context.command, click.Group) else context.parent
    assert group is not None  # noqa: S101, the status is asked by a command of the group
    if group is context:
        _check_environment([one for one in context.command.params if one.envvar])
        if file is None and SYSTEM_FILE.is_file():
            file = SYSTEM_FILE
    if file is not None:
        context.default_map = _settings(file, group.command)
    if group is context:
        # What is asked for the status is where the server answers.
        context.default_map = {**(context.default_map or {}), "status": context.default_map or {}}


def _settings(path: Path, group: click.Command) -> dict[str, Any]:
    options = {one.name: one for one in group.params if one.name not in _NO_SETTINGS}
    table = read_toml(path)
    table = table.get("serve", table)
    if not isinstance(table, dict):
        raise SettingsError(f'[serve] in "{path}" is not a table')
    found = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name not in options:
            raise _unknown(key, map(str, options), f'"{path}"')
        is_flag = isinstance(options[name], click.Option) and options[name].is_flag  # type: ignore[attr-defined]
        if isinstance(value, bool) != is_flag or not isinstance(value, str | int | float):
            wanted = "true or false" if is_flag else "a text or a number"
            raise SettingsError(f'setting "{key}" in "{path}" must be {wanted}')
        found[name] = value if is_flag else str(value)
    return found


def _check_environment(known: list[click.Parameter]) -> None:
    for variable in os.environ:
        if variable.startswith(PREFIX) and variable not in {one.envvar for one in known}:
            names = [str(one.name) for one in known]
            raise _unknown(variable.removeprefix(PREFIX).lower(), names, "the environment")


def _unknown(key: str, known: Iterable[str], where: str) -> SettingsError:
    names = sorted(known)
    close = difflib.get_close_matches(key.replace("-", "_"), names, n=1)
    hint = f'did you mean "{close[0]}"?' if close else "known: " + ", ".join(names)
    return SettingsError(f'unknown setting "{key}" of meshc serve in {where}', hint=hint)
