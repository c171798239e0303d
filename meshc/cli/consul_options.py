"""Options of every command that speaks to Consul, and the client that they describe."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from meshc.consul.settings import ConsulSettings

_Command = TypeVar("_Command", bound="Callable[..., Any]")
_PREFIX = "consul_"


def consul_options(command: _Command) -> _Command:
    """Add ``--consul-*``; a token is never an option, because every user sees a command line.

    The command gets them as ``consul_…``; `settings_from` takes its keyword arguments.
    """
    for option in (
        click.option(
            "--consul-timeout",
            type=float,
            help="Seconds that one exchange with Consul may take. Default: 10.",
        ),
        click.option("--consul-datacenter", metavar="NAME", help="Default: that of the agent."),
        click.option(
            "--consul-server-name",
            metavar="NAME",
            help="Name in Consul's certificate, if not the host. Default: CONSUL_TLS_SERVER_NAME.",
        ),
        click.option(
            "--consul-key-file",
            type=click.Path(),
            help="Key of the client certificate. Default: CONSUL_CLIENT_KEY.",
        ),
        click.option(
            "--consul-cert-file",
            type=click.Path(),
            help="Client certificate to show. Default: CONSUL_CLIENT_CERT.",
        ),
        click.option(
            "--consul-ca-file",
            type=click.Path(),
            help="Authority that Consul's certificate must be of. Default: CONSUL_CACERT.",
        ),
        click.option(
            "--consul-token-file",
            type=click.Path(),
            help="File with the ACL token, read anew for every request. Default: "
            "CONSUL_HTTP_TOKEN_FILE, or the token itself in CONSUL_HTTP_TOKEN.",
        ),
        click.option(
            "--consul-address",
            metavar="HOST:PORT|URL",
            help="Where Consul listens. Default: CONSUL_HTTP_ADDR, or 127.0.0.1:8500.",
        ),
    ):
        command = option(command)
    return command


def settings_from(flags: Mapping[str, Any], *, address: str = "") -> ConsulSettings:
    """Return what the options and the environment say; ``address`` is above both.

    Raises:
        SettingsError: something cannot be used.
    """
    from meshc.consul.settings import load_consul_settings  # noqa: PLC0415, start-up time

    given = {
        name.removeprefix(_PREFIX): value
        for name, value in flags.items()
        if name.startswith(_PREFIX)
    }
    if address:
        given["address"] = address
    return load_consul_settings(given, os.environ)
