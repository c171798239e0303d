"""`meshc bootstrap`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from meshc.cli.options import common_options, specs_option, terminal
from meshc.cli.report import failed, show_findings, tally
from meshc.diagnostics.errors import OutputError, SettingsError

if TYPE_CHECKING:
    from meshc.spec.places import SpecSource

_DIRECTORY = "/etc/meshc/tls"
_NAME = "bootstrap.json"
_OF_CLIENTS = {"MC505"}
"""Warnings that no other command gives; those of the mesh are for check and build."""


@click.command(
    "bootstrap",
    epilog="Examples: meshc bootstrap web1 > bootstrap.json && envoy -c bootstrap.json; "
    "meshc bootstrap web1 --mode grpc --server 10.0.0.5:18000; for a program with gRPC's own xDS "
    "client: meshc bootstrap web1 --mode grpc-client --server 10.0.0.5:18000 > grpc.json && "
    "GRPC_XDS_BOOTSTRAP=grpc.json program.",
)
@click.argument("node")
@specs_option
@click.option(
    "--mode",
    type=click.Choice(["file", "grpc", "grpc-client"]),
    default="file",
    show_default=True,
    help="How the Envoy gets its resources: from files, from meshc serve; or what a program "
    "without an Envoy starts with that calls xds:///SERVICE.",
)
@click.option(
    "--server",
    "servers",
    multiple=True,
    metavar="HOST:PORT",
    help="Where meshc serve listens; several for replicas.",
)
@click.option(
    "--subscribe",
    type=click.Choice(["delta-ads", "ads", "per-type", "rest"]),
    default="delta-ads",
    show_default=True,
    help="With --mode grpc: one ordered stream with differences only, the same with everything in "
    "each response, one stream for each type, or polling over REST.",
)
@click.option(
    "--tls-directory",
    default=_DIRECTORY,
    show_default=True,
    metavar="DIR",
    help="Where the host has node.pem, node.key and server-ca.pem.",
)
@click.option("--plaintext", is_flag=True, help="No certificates: a server on loopback.")
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write DIR/bootstrap.json instead of printing it, and with --mode grpc two files beside "
    "it by which the Envoy follows renewed certificates; DIR is where the host has it, too.",
)
@common_options
def command(node: str, specs: SpecSource, mode: str, folder: Path | None, **flags: Any) -> int:
    """Print what NODE's Envoy starts with, checked against Envoy's schema."""
    from meshc.explain import bootstrap_of  # noqa: PLC0415, start-up time

    if mode == "file" and flags["servers"]:
        raise click.UsageError("--server goes with --mode grpc or grpc-client.")
    if mode != "file" and not flags["servers"]:
        raise click.UsageError(f"--mode {mode} needs --server HOST:PORT.")
    result, text = bootstrap_of(specs, node, is_grpc_client=mode == "grpc-client")
    shown = terminal()
    is_failed = failed(result.diagnostics, is_strict=False)
    found = [one for one in result.diagnostics if is_failed or one.code in _OF_CLIENTS]
    show_findings(found, result, specs=specs, output="text", stream=sys.stderr, shown=shown)
    if is_failed:
        shown.warn(f"{tally(result.diagnostics)} in {specs.root}")
        return 1
    files = {_NAME: text}
    if mode != "file":
        files = _dynamic(json.loads(text), mode, folder, **flags)
    if folder is None:
        click.echo(files[_NAME], nl=False)
    else:
        _write(folder, files)
    return 0


def _dynamic(
    bootstrap: dict[str, Any],
    mode: str,
    folder: Path | None,
    *,
    servers: tuple[str, ...],
    subscribe: str,
    tls_directory: str,
    plaintext: bool,
) -> dict[str, str]:
    """Return files by name: the bootstrap, and those that it refers to in a folder."""
    from meshc.delivery.xds import bootstrap as dynamic  # noqa: PLC0415, start-up time
    from meshc.delivery.xds.transport.addresses import address  # noqa: PLC0415, the same

    places = []
    for text in servers:
        place = address(text)
        if not place.port:
            raise SettingsError(f'"{text}" is no HOST:PORT of a server')
        places.append((place.host, place.port))
    credentials = None
    if not plaintext:
        directory = tls_directory.rstrip("/")
        credentials = dynamic.Credentials(
            certificate=f"{directory}/node.pem",
            key=f"{directory}/node.key",
            ca=f"{directory}/server-ca.pem",
        )
    if mode == "grpc-client":
        found = dynamic.grpc_client_bootstrap(bootstrap, places, credentials=credentials)
        return {_NAME: _text(found)}
    secrets = {}
    if folder is not None and credentials is not None:
        secrets = dynamic.secret_files([host for host, _ in places], credentials)
    found = dynamic.grpc_bootstrap(
        bootstrap,
        places,
        subscribing=dynamic.Subscribing(subscribe),
        credentials=credentials,
        secrets=str(folder.absolute()) if folder is not None and secrets else "",
    )
    dynamic.check_bootstrap(found)
    return {name: _text(content) for name, content in (secrets | {_NAME: found}).items()}


def _text(content: dict[str, Any]) -> str:
    return json.dumps(content, sort_keys=True) + "\n"


def _write(folder: Path, files: dict[str, str]) -> None:
    """Write files, the bootstrap last, as it refers to the others."""
    from meshc.delivery.agent.durable import write_durably  # noqa: PLC0415, start-up time

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            write_durably(folder / name, text.encode())
    except OSError as error:
        raise OutputError(f'cannot write to "{folder}": {error.strerror}') from error
    terminal().say(f"{folder}: {', '.join(files)}")
