"""The group of all commands, and what happens when one of them fails."""

from __future__ import annotations

import difflib
import importlib
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import click

from meshc.cli.options import Terminal, common_options, read_settings
from meshc.diagnostics.errors import MeshcError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_USAGE = 2
EXIT_WORLD = 3
EXIT_BUG = 4
EXIT_INTERRUPTED = 130

COMMANDS = {
    "init": "Make a commented starter mesh.",
    "check": "Report everything that is wrong with the specs; write nothing.",
    "build": "Compile the specs into validated per-node Envoy files.",
    "explain": "Explain a diagnostic code, or why a resource is on a node.",
    "svc": "Keep service documents in Consul: apply, show, list, delete, import, export.",
    "publish": "Put the bundle where agents read it: into Consul, or into a folder.",
    "consul": "Register the hosts of the mesh in Consul, where everybody finds them.",
    "bootstrap": "Print what a node's Envoy starts with.",
    "materialize": "Lay a node's files out as its Envoy watches them.",
    "drain": "Let an Envoy's requests end before it is stopped.",
    "agent": "Deliver files under a running Envoy, and know what it made of them.",
    "serve": "Serve the same bundle to Envoys over gRPC xDS.",
    "schema": "Print the JSON Schema of the documents, for editors.",
    "envoy-schema": "List the Envoy versions whose schema is known.",
    "demo": "Run a mesh of real Envoys on this machine and show it working.",
    "completion": "Print shell completion for bash, zsh or fish.",
}
"""Name → line of help; a command's module is loaded when it is called, not before."""


class _Commands(click.Group):
    """Loads a command's module on use, so that help and errors come at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002, click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"meshc.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            close = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f'Did you mean "{close[0]}"?' if close else "See: meshc --help"
            raise click.UsageError(f'There is no command "{name}". {hint}', ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="A first mesh: meshc init mymesh, then in mymesh: meshc build. "
    "Settings come from meshc.toml or [tool.meshc] in pyproject.toml, then MESHC_* in the "
    "environment, then flags.",
)
@click.version_option(package_name="meshc", message="meshc %(version)s")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    envvar="MESHC_CONFIG",
    help="Settings file instead of meshc.toml.",
)
@common_options
@click.pass_context
def meshc(context: click.Context, config: Path | None) -> None:
    """A service mesh for VMs and bare metal: specs in, per-node Envoy files out.

    meshc compiles small service documents into validated files, one set for each host's Envoy.
    There is no control plane that has to be alive.
    """
    read_settings(context, config)


def run(arguments: Sequence[str]) -> int:  # noqa: PLR0911, one code a kind of failure
    """Run a command line and return its exit code; nothing escapes as a traceback."""
    shown = Terminal()
    try:
        code = meshc.main(list(arguments), prog_name="meshc", standalone_mode=False, obj=shown)
        return int(code or 0)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        shown.warn("interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader has seen enough; closing quietly is what every other program does.
        sys.stderr.close()
        return 0
    except MeshcError as error:
        _show(shown, error.message, error.hint, error.code)
        if shown.verbosity > 1:
            traceback.print_exc()
        return EXIT_USAGE if isinstance(error, UnknownNameError) else EXIT_WORLD
    except Exception as error:  # noqa: BLE001, the last line of defence
        _show(
            shown,
            f"a mistake of meshc itself: {type(error).__name__}: {error}",
            "please report it with the output of the same command with -v",
        )
        if shown.verbosity:
            traceback.print_exc()
        return EXIT_BUG


def _show(shown: Terminal, message: str, hint: str | None, code: str = "") -> None:
    style = shown.style(sys.stderr)
    kind = f"error[{code}]:" if code else "error:"
    shown.warn(f"{style(kind, 'error')} {message}")
    if hint:
        shown.warn(f"  {style('hint:', 'hint')} {hint}")
