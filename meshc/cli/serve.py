"""`meshc serve`: the dynamic mode."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from meshc.cli.consul_options import consul_options, settings_from
from meshc.cli.options import common_options, terminal
from meshc.cli.serve_options import config_option, option
from meshc.delivery.errors import DeliveryError
from meshc.diagnostics.errors import SettingsError

if TYPE_CHECKING:
    from meshc.consul.settings import ConsulSettings
    from meshc.delivery.xds.settings import ServeSettings
    from meshc.delivery.xds.transport.limits import Limits

_LIMITS = {
    "max_connections": "connections",
    "max_connections_per_address": "connections_of_one",
    "max_connection_age": "age",
    "keepalive": "ping_every",
}
"""Options that are limits of a server."""
_MOST_WORKERS = 64

_control_option = option(
    "--control",
    default=None,
    metavar="unix:/PATH|HOST:PORT|none",
    help="Where status and metrics are served: a Unix socket or a loopback address. Default: "
    "serve.sock in /run/meshc, or where that cannot be used, in a folder of the user's own.",
)


@click.group(
    "serve",
    invoke_without_command=True,
    epilog="Examples: meshc serve --source out --listen 10.0.0.5:18000 --cert server.pem "
    "--key server.key --client-ca nodes-ca.pem; on one machine, to try it: meshc serve --source "
    "out --listen 127.0.0.1:18000 --plaintext; from Consul: --source consul://10.0.0.5:8500/shop. "
    "Envoys start with: meshc bootstrap NODE --mode grpc --server 10.0.0.5:18000 --to DIR.",
)
@option(
    "--source",
    default="out",
    metavar="DIR|consul://HOST:PORT/MESH",
    help="What is served, followed as it changes: the folder of a build or of meshc publish dir, "
    "or a mesh that meshc publish consul has put into Consul. Default: out.",
)
@option(
    "--listen",
    default="127.0.0.1:18000",
    metavar="HOST:PORT|unix:/PATH",
    help="Where Envoys connect. Default: 127.0.0.1:18000.",
)
@option(
    "--rest",
    default=None,
    metavar="HOST:PORT",
    help="Answer REST polling there, too (POST /v3/discovery:clusters and the like).",
)
@option("--cert", type=click.Path(path_type=Path), help="Certificate of this server, PEM.")
@option("--key", type=click.Path(path_type=Path), help="Its key, PEM.")
@option(
    "--client-ca",
    type=click.Path(path_type=Path),
    help="Authority of the nodes' certificates, PEM. A node's certificate has the node's name as "
    "DNS name, or spiffe://MESH/NODE as URI, among its alternative names.",
)
@option(
    "--withdrawn",
    type=click.Path(path_type=Path),
    help="List of certificates that count no longer: a serial number or a name on each line; "
    "read again when it changes, and open streams of theirs are cut.",
)
@option(
    "--plaintext",
    is_flag=True,
    help="Neither encrypt nor ask who somebody is; on loopback or a Unix socket alone.",
)
@option(
    "--poll",
    type=click.FloatRange(0.05, 3600),
    default=1.0,
    help="Seconds between looks at the source, beside what it tells by itself.",
)
@option(
    "--workers",
    default="1",
    metavar="N|auto",
    help="Processes that share the connections of one port, for thousands of Envoys; auto: one "
    "for each core. Default: 1.",
)
@option(
    "--max-connections",
    type=click.IntRange(1),
    metavar="N",
    help="Connections at once, of each worker. Default: 12000.",
)
@option(
    "--max-connections-per-address",
    type=click.IntRange(1),
    metavar="N",
    help="Connections at once from one address, or one network of IPv6; more where a translator "
    "of addresses stands for many hosts. Default: 2000.",
)
@option(
    "--max-connection-age",
    type=click.FloatRange(1),
    metavar="SECONDS",
    help="A connection that is older is asked to come again, which spreads Envoys over servers "
    "that were added. Default: 1800.",
)
@option(
    "--keepalive",
    type=click.FloatRange(1),
    metavar="SECONDS",
    help="Pause between pings of a connection; one that does not answer within 10 seconds is "
    "let go. Default: 30.",
)
@option("--log", type=click.Choice(["text", "json"]), default="text", help="Form of the log.")
@_control_option
@consul_options
@config_option
@common_options
@click.pass_context
def command(context: click.Context, /, **flags: Any) -> int:
    """Serve the bundle over gRPC xDS to Envoys in dynamic mode.

    The resources are those of the files, byte for byte, but for where routes, endpoints and
    secrets come from.  Traffic does not depend on this server: an Envoy keeps what it has while
    the server is away, and gets nothing anew that it has when the server comes back.

    Settings come from a TOML file, then MESHC_SERVE_* in the environment, then flags.
    """
    if context.invoked_subcommand is not None:
        return 0
    for name, value in flags.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise SettingsError(f"--{name.replace('_', '-')} is no number of seconds: {value}")
    settings = _settings(flags)
    if importlib.util.find_spec("grpclib") is None:
        raise DeliveryError(
            "serving needs grpclib, which is not installed", hint="pip install 'meshc[serve]'"
        )
    if settings.workers > 1:
        from meshc.delivery.xds.process.workers import serve_with_workers  # noqa: PLC0415, start-up time

        return serve_with_workers(settings)
    from meshc.delivery.xds.process.main import run  # noqa: PLC0415, start-up time

    return run(settings)


def _settings(flags: dict[str, Any]) -> ServeSettings:
    from meshc.delivery.xds.settings import (  # noqa: PLC0415, start-up time
        ServeSettings,
        control_to_serve,
    )
    from meshc.delivery.xds.transport.addresses import address  # noqa: PLC0415, the same
    from meshc.delivery.xds.transport.tls import TlsFiles  # noqa: PLC0415, the same

    names = ("cert", "key", "client_ca")
    given = [name for name in names if flags[name] is not None]
    tls = None
    if flags["plaintext"]:
        if given:
            raise SettingsError("--plaintext excludes certificates", hint="leave one of them out")
    elif len(given) < len(names):
        missing = ", ".join("--" + name.replace("_", "-") for name in names if name not in given)
        raise SettingsError(
            f"the server is not told {missing}",
            hint="clients and server know each other by certificates; to do without on one "
            "machine, say --plaintext",
        )
    else:
        tls = TlsFiles(certificate=flags["cert"], key=flags["key"], client_ca=flags["client_ca"])
    control = (
        None if flags["control"] == "none" else address(flags["control"] or control_to_serve())
    )
    if control is not None and not control.is_local:
        raise SettingsError(f"--control {control} is no loopback address")
    return ServeSettings(
        source=flags["source"],
        consul=_consul(flags),
        listen=address(flags["listen"]),
        tls=tls,
        withdrawn=flags["withdrawn"],
        rest=None if flags["rest"] is None else address(flags["rest"]),
        control=control,
        poll=flags["poll"],
        workers=_workers(flags["workers"]),
        log=flags["log"],
        limits=_limits(flags),
    )


def _limits(flags: dict[str, Any]) -> Limits:
    from meshc.delivery.xds.transport.limits import Limits  # noqa: PLC0415, start-up time

    given = {field: flags[name] for name, field in _LIMITS.items() if flags[name] is not None}
    return Limits(**given)


def _workers(text: str) -> int:
    if text == "auto":
        return len(os.sched_getaffinity(0))
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:6]) <= _MOST_WORKERS):
        raise SettingsError(
            f'--workers is "{text}", and neither auto nor a number up to {_MOST_WORKERS}'
        )
    return int(text)


def _consul(flags: dict[str, Any]) -> ConsulSettings | None:
    if not flags["source"].startswith("consul"):
        return None  # without a look at what a bundle in a folder does not need
    from meshc.consul.address import is_consul_url, parse_consul_url  # noqa: PLC0415, the same

    if not is_consul_url(flags["source"]):
        return None
    return settings_from(flags, address=parse_consul_url(flags["source"]).address)


@command.command(
    "status",
    epilog="Example: meshc serve status --json | jq '.streams[] | select(.problem != \"\")'",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs; all streams.")
@click.option("--all", "is_whole", is_flag=True, help="Show all streams, however many.")
@click.option("--node", default="", metavar="NAME", help="Tell of this node alone.")
@_control_option
@config_option
@common_options
def status_command(control: str | None, node: str, is_whole: bool, as_json: bool) -> int:
    """Tell who is connected, and what each node made of what it was sent.

    Exit codes: 0 well; 1 somebody has to act; 3 no server answers.
    """
    from meshc.delivery.xds.process.asking import ask_status  # noqa: PLC0415, start-up time
    from meshc.delivery.xds.process.render import SHOWN, of_node, render, verdict  # noqa: PLC0415, the same
    from meshc.delivery.xds.settings import control_to_ask  # noqa: PLC0415, the same
    from meshc.delivery.xds.transport.addresses import address  # noqa: PLC0415, the same

    found = ask_status(address(control or control_to_ask()))
    summary, is_well = verdict(found, node)
    if as_json:
        said = {"summary": summary, "ok": is_well} | of_node(found, node)
        click.echo(json.dumps(said, indent=2))
    else:
        shown = terminal()
        limit = None if is_whole or node else SHOWN
        for line in render(found, shown.style(sys.stdout), node=node, limit=limit):
            shown.say(line)
    return int(not is_well)
