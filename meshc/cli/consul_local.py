"""`meshc consul register-local`: one host, by way of its own Consul agent."""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from meshc.cli.consul_options import consul_options, settings_from
from meshc.cli.options import common_options, format_option, terminal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshc.delivery.register.host_facts import HostSource
    from meshc.delivery.register.local import LocalReport

_AGENT_SETTINGS = Path("/etc/meshc/agent.toml")
_REFUSED = 1


@click.command(
    "register-local",
    epilog="Examples: meshc consul register-local web1 --source /srv/mesh/out; from a timer, on a "
    f"host with {_AGENT_SETTINGS}: meshc consul register-local; before a host is given up: "
    "meshc consul register-local web1 --remove --mesh shop.",
)
@click.argument("node", required=False)
@click.option(
    "--source",
    metavar="DIR|consul://[HOST:PORT]/MESH",
    help="Folder of the bundle or of what meshc publish wrote, or Consul, where it was published. "
    "Default: that of the delivery agent.",
)
@click.option(
    "--agent-config",
    type=click.Path(path_type=Path),
    default=_AGENT_SETTINGS,
    show_default=True,
    help="Settings of the delivery agent, for what is not given.",
)
@click.option(
    "--admin-service",
    default="envoy-admin",
    show_default=True,
    metavar="NAME",
    help="Service under which the admin interface is registered.",
)
@click.option(
    "--check-interval",
    type=click.IntRange(1, 3600),
    default=10,
    show_default=True,
    metavar="SECONDS",
    help="How often the agent checks.",
)
@click.option(
    "--again",
    is_flag=True,
    help="Register what is the same, too: after the token was replaced, because the agent goes on "
    "using the one that a service was registered with.",
)
@click.option("--remove", is_flag=True, help="Take out what the mesh registered here for NODE.")
@click.option("--mesh", metavar="NAME", help="With --remove: which mesh.")
@format_option
@consul_options
@common_options
def local_command(node: str | None, output: str, **flags: Any) -> int:
    """Register what runs on NODE with the Consul agent of this host.

    The agent checks it: that the inbound listener accepts connections, and that Envoy is ready.
    What the mesh registered here before and does not run here any more is taken out; whatever
    others registered stays. Run it after every change, or from a timer: where nothing changed,
    nothing is written. NODE and --source are those of the delivery agent unless they are given.

    Exit codes: 0 done; 1 refused, nothing was done; 2 no such node; 3 not done or not all of it.
    """
    from meshc.consul.client import ConsulClient  # noqa: PLC0415, start-up time
    from meshc.consul.errors import ConsulError  # noqa: PLC0415, start-up time
    from meshc.delivery.register.local import (  # noqa: PLC0415, start-up time
        LocalReport,
        remove_local,
        sync_local,
    )

    if flags["remove"] != bool(flags["mesh"]):
        raise click.UsageError("--remove and --mesh go together; else the source says which mesh")
    report = LocalReport()
    with ExitStack() as stack:
        agent = stack.enter_context(ConsulClient(settings_from(flags), user_agent="meshc-consul"))
        name, source, reach = _who(node, flags)
        try:
            if flags["remove"]:
                remove_local(agent, _checked(flags["mesh"]), name, report)
            else:
                place = _open(source, reach, stack)
                sync_local(
                    agent,
                    place,
                    name,
                    report,
                    admin_service=_checked(flags["admin_service"]),
                    interval=flags["check_interval"],
                    is_again=flags["again"],
                )
        except ConsulError as error:
            _show(report, name, agent.where, output, error=error.message)
            raise
    return _show(report, name, agent.where, output)


def _checked(name: str) -> str:
    from meshc.diagnostics.names import NAME_RULE, is_name  # noqa: PLC0415, start-up time

    if not is_name(name):
        raise click.UsageError(f'"{name}": {NAME_RULE}')
    return name


def _who(node: str | None, flags: Mapping[str, Any]) -> tuple[str, str, Mapping[str, Any]]:
    """Return node, source, and how to reach one in Consul: as given, else as the agent has it."""
    source = flags["source"] or ""
    if node and (source or flags["remove"]):
        return _checked(node), source, flags
    from meshc.delivery.agent.settings import load_settings  # noqa: PLC0415, start-up time

    file = flags["agent_config"]
    if not file.exists():
        raise click.UsageError(
            f"say NODE and --source DIR; without them the settings of the delivery agent are "
            f'needed, and there is no "{file}"'
        )
    given = {"node": node, "source": source or None}
    settings = load_settings(given, file=file, environment=os.environ)
    name = _checked(settings.node)
    if source:
        return name, source, flags
    reach = {
        key: flags[key] or getattr(settings, key) for key in flags if key.startswith("consul_")
    }
    return name, settings.source, reach


def _open(source: str, flags: Mapping[str, Any], stack: ExitStack) -> HostSource:
    from meshc.consul.address import is_consul_url, parse_consul_url  # noqa: PLC0415, start-up
    from meshc.delivery.register.host_facts import (  # noqa: PLC0415, start-up time
        ConsulPublication,
        open_folder,
    )

    if source.startswith(("http:", "https:")):
        raise click.UsageError(
            f'"{source}" is a web server, and this command reads folders and Consul'
        )
    if not is_consul_url(source):
        return open_folder(Path(source))
    from meshc.consul.client import ConsulClient  # noqa: PLC0415, start-up time

    place = parse_consul_url(source)
    settings = settings_from(flags, address=place.address)
    client = stack.enter_context(ConsulClient(settings, user_agent="meshc-consul"))
    return ConsulPublication(client, place.mesh)


def _show(
    report: LocalReport, node: str, where: str, output: str, *, error: str | None = None
) -> int:
    """Print what was done, or why nothing was; return the exit code."""
    is_changed = bool(report.registered or report.removed)
    refused = report.planned.collisions
    if output == "json":
        found: dict[str, Any] = {
            "ok": error is None and not refused,
            "changed": is_changed,
            "node": node,
            "consul": where,
            "registered": report.registered,
            "removed": report.removed,
            "unchanged": report.planned.unchanged,
            "refused": list(refused),
        }
        click.echo(json.dumps(found | ({} if error is None else {"error": error}), indent=2))
        return _REFUSED if refused else 0
    from meshc.cli.safe import plain  # noqa: PLC0415, start-up time

    shown = terminal()
    for service in report.registered:
        shown.say(f"{'+' if service in report.planned.is_new else '~'} {service}")
    for service in report.removed:
        shown.say(f"- {plain(service)}")
    for reason in refused:
        shown.warn(f"{shown.style(sys.stderr)('refused:', 'error')} {plain(reason)}")
    word = "OK" if error is None and not refused else "FAILED" if error else "REFUSED"
    style = shown.style(sys.stdout)
    done = (
        f"{style(word, 'good' if word == 'OK' else 'error')} "
        f"(Changed={str(is_changed).lower()}): {plain(node)} at {where}: "
        f"{len(report.registered)} registered, {len(report.removed)} removed, "
        f"{report.planned.unchanged} unchanged"
    )
    if word == "OK":
        shown.say(done)
    else:
        shown.warn(done)
    return _REFUSED if refused else 0
