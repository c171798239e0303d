"""`meshc init`."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

import click

from meshc.artifact.real import check_root
from meshc.cli.options import common_options, terminal
from meshc.diagnostics.errors import OutputError

_FILES = ("mesh.yaml", "web.yaml", "api.yaml", "database.yaml")


@click.command("init", epilog="Example: meshc init mymesh && cd mymesh && meshc build")
@click.argument("directory", type=click.Path(path_type=Path))
@common_options
def command(directory: Path) -> int:
    """Make a commented starter mesh in DIRECTORY/specs that builds as it is.

    Nothing that exists is overwritten.
    """
    shown = terminal()
    specs = directory / "specs"
    check_root(specs)
    taken = [name for name in _FILES if os.path.lexists(specs / name)]
    if taken:
        raise OutputError(
            f'"{specs / taken[0]}" exists, and nothing is overwritten',
            hint="give another folder, or build what is there with: meshc build",
        )
    starter = resources.files("meshc.cli") / "starter"
    try:
        specs.mkdir(parents=True, exist_ok=True)
        for name in _FILES:
            (specs / name).write_bytes((starter / name).read_bytes())
            shown.say(f"wrote {specs / name}")
    except OSError as error:
        raise OutputError(f'cannot write "{specs}": {error.strerror}') from error
    go_there = "" if directory == Path() else f"cd {directory} && "
    shown.say(f"next: {go_there}meshc build")
    return 0
