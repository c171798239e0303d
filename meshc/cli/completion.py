"""`meshc completion`."""

from __future__ import annotations

import os
from pathlib import PurePath

import click
from click.shell_completion import get_completion_class

from meshc.cli.options import common_options

_SHELLS = ("bash", "zsh", "fish")


@click.command(
    "completion",
    epilog='Examples: bash: eval "$(meshc completion bash)" in ~/.bashrc; '
    'zsh: eval "$(meshc completion zsh)" in ~/.zshrc; '
    "fish: meshc completion fish > ~/.config/fish/completions/meshc.fish",
)
@click.argument("shell", type=click.Choice(_SHELLS), required=False)
@common_options
def command(shell: str | None) -> int:
    """Print the completion script of SHELL; without it, of the shell that $SHELL names."""
    name = shell or PurePath(os.environ.get("SHELL", "")).name
    found = get_completion_class(name) if name in _SHELLS else None
    if found is None:
        raise click.UsageError(f"name a shell: {', '.join(_SHELLS)}")
    program = click.get_current_context().find_root().command
    script = found(program, {}, "meshc", "_MESHC_COMPLETE")
    # click asks bash for its version by running it; the script itself needs no such check.
    click.echo(script.source_template % script.source_vars())
    return 0
