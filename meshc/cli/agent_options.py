"""Options of `meshc agent`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from meshc.cli.consul_options import consul_options

if TYPE_CHECKING:
    from collections.abc import Callable

_Command = TypeVar("_Command", bound="Callable[..., Any]")

SYSTEM_FILE = Path("/etc/meshc/agent.toml")


def _file_option(command: _Command) -> _Command:
    return click.option(
        "--config",
        "file",
        type=click.Path(path_type=Path),
        envvar="MESHC_AGENT_CONFIG",
        show_envvar=True,
        help=f"Settings file. Default: {SYSTEM_FILE}, if it is there.",
    )(command)


def place_options(command: _Command) -> _Command:
    """Add what finds an agent: its target or its settings."""
    for option in (
        _file_option,
        click.option(
            "--state",
            type=click.Path(),
            help="Folder for what the agent must remember. Default: .agent in the target.",
        ),
        click.option("--target", type=click.Path(), help="Directory that Envoy watches."),
    ):
        command = option(command)
    return command


def settings_options(command: _Command) -> _Command:
    """Add what an agent can be told."""
    for option in (
        click.option("--log", type=click.Choice(["text", "json"]), help="Form of the log."),
        click.option(
            "--metrics",
            metavar="unix:PATH|http://127.0.0.1:PORT|none",
            help="Where metrics are served. Default: metrics.sock in the state folder.",
        ),
        consul_options,
        click.option("--ca-file", type=click.Path(), help="Certificates to trust for https."),
        click.option("--keep", type=int, help="Generations to keep. Default: 3."),
        click.option("--probe", type=float, help="Seconds between looks at Envoy. Default: 5."),
        click.option("--poll", type=float, help="Seconds between looks at the source. Default: 5."),
        click.option(
            "--allow-empty", is_flag=True, default=None, help="Deliver a set without listeners too."
        ),
        click.option(
            "--allow-shrink",
            is_flag=True,
            default=None,
            help="Deliver however much a set shrinks or grows.",
        ),
        click.option(
            "--max-growth",
            type=float,
            help="By what a node may grow at once, as a multiple. Default: 10.",
        ),
        click.option(
            "--max-shrink",
            type=float,
            help="By what a node may shrink at once, as a share. Default: 0.3.",
        ),
        click.option(
            "--unconfirmed-wait",
            type=float,
            help="Seconds between steps with --unconfirmed. Default: 2.",
        ),
        click.option(
            "--unconfirmed",
            is_flag=True,
            default=None,
            help="Never ask Envoy; deliver in order, with waiting, and confirm nothing.",
        ),
        click.option(
            "--require-validation",
            is_flag=True,
            default=None,
            help="Deliver nothing that no Envoy program on this host has judged.",
        ),
        click.option(
            "--envoy",
            metavar="auto|none|PATH",
            help="Envoy program that judges before delivery. Default: auto.",
        ),
        click.option(
            "--admin",
            metavar="unix:PATH|http://IP:PORT",
            help="Envoy's admin interface. Default: as in the bootstrap.",
        ),
        click.option(
            "--source",
            metavar="DIR|URL|consul://HOST:PORT/MESH",
            help="Where bundles come from: a folder, as meshc build or meshc publish dir makes it; "
            "http(s)://HOST/PATH of one behind a web server; consul://HOST:PORT/MESH, or "
            "consul+https://… with TLS, or consul:///MESH for --consul-address.",
        ),
        click.option("--node", help="Name of this host's node."),
        place_options,
    ):
        command = option(command)
    return command
