"""`meshc consul`: the hosts of the mesh in Consul's catalogue."""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from meshc.cli.consul_local import local_command
from meshc.cli.consul_options import consul_options, settings_from
from meshc.cli.options import common_options, format_option, out_option, terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from meshc.consul.client import ConsulClient
    from meshc.delivery.register.desired import Desired
    from meshc.delivery.register.reconcile import Changes
    from meshc.delivery.register.sync import SyncReport

_Command = TypeVar("_Command", bound="Callable[..., Any]")

_REFUSED = _DRIFT = 1
_MAX_BODY = 256 * 1024 * 1024
"""Bytes of one answer: all admin interfaces of a mesh of 200,000 hosts."""
_PLANNED = ("to add", "to change", "to remove")
_DONE = ("added", "changed", "removed")
_DIFFERS = ("missing", "different", "too many")


@click.group(
    "consul",
    epilog="Examples: meshc consul plan; meshc consul sync; in CI every night: meshc consul "
    "status; on a host with a Consul agent: meshc consul register-local web1 --source /srv/mesh.",
)
@common_options
def command() -> None:
    """Register the hosts of the mesh in Consul, where Prometheus and everybody else finds them.

    What is registered is what the bundle of --out says: each instance of a service, and each
    Envoy's admin interface as the service envoy-admin. Nothing of anybody else's is touched.

    A host goes one of two ways. `sync` gives hosts without a Consul agent a node of their own in
    the catalogue. On a host with an agent, `register-local` registers with that agent, which then
    checks it too; an entry of the catalogue on an agent's own node would be undone by the agent.
    """


command.add_command(local_command)


def _shared_options(function: _Command) -> _Command:
    """Add what plan, sync and status have."""
    for option in (
        common_options,
        consul_options,
        format_option,
        click.option(
            "--admin-service",
            default="envoy-admin",
            show_default=True,
            metavar="NAME",
            help="Service under which the admin interfaces are registered.",
        ),
        out_option,
    ):
        function = option(function)
    return function


def _limit_options(function: _Command) -> _Command:
    """Add how much may go at once."""
    for option in (
        click.option(
            "--allow-shrink", is_flag=True, help="Whatever share of the hosts loses something."
        ),
        click.option(
            "--max-shrink",
            type=click.FloatRange(0, 1),
            default=0.3,
            show_default=True,
            help="Share of the registered hosts that may lose something at once; one may always.",
        ),
        click.option(
            "--mesh",
            metavar="NAME",
            help="With --remove-all: which mesh, where there is no bundle of it any more.",
        ),
        click.option(
            "--remove-all", is_flag=True, help="Take every host of the mesh out, and nothing in."
        ),
    ):
        function = option(function)
    return function


@command.command(
    "plan", epilog="Examples: meshc consul plan; meshc consul plan --format json --out /srv/bundle."
)
@_shared_options
@_limit_options
def plan_command(output: str, **flags: Any) -> int:
    """Say what sync would do, and do nothing.

    "+" is a host that comes, "~" one that changes, "-" one that goes. Exit code 1 if sync would
    refuse.
    """
    from meshc.delivery.register.sync import plan_sync, refusals  # noqa: PLC0415, start-up time

    run = _Run(flags, output)
    with run.client() as client:
        changes = plan_sync(client, run.mesh, run.desired.nodes)
    losing = {host.node for host in changes.hosts if host.loses_something}
    refused = refusals(changes, losing, changes.registered, run.max_shrink)
    if output == "json":
        run.print_json(changes, refused=refused, ok=not refused)
    else:
        run.show_changes(changes)
        for reason in refused:
            run.warn("sync would refuse", reason)
        run.say(run.summary(changes, _PLANNED))
    return _REFUSED if refused else 0


@command.command(
    "sync",
    epilog="Examples: meshc consul sync; in CI after meshc build: meshc consul sync "
    "--consul-token-file token; a mesh that is given up: meshc consul sync --remove-all.",
)
@_shared_options
@_limit_options
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    help="Seconds to wait for another run to end.",
)
def sync_command(output: str, wait: float, **flags: Any) -> int:
    """Register what the bundle says, and take out what it does not say any more.

    Each host is written as a whole, only over what was read, and by one run at a time. A run that
    is cut off is finished by the next one. Ends with OK (Changed=true) or OK (Changed=false).

    Exit codes: 0 done; 1 refused, nothing was done; 3 not done or not all of it.
    """
    from meshc.consul.errors import ConsulError  # noqa: PLC0415, start-up time
    from meshc.delivery.register.sync import (  # noqa: PLC0415, start-up time
        SyncLimits,
        SyncReport,
        sync_catalogue,
    )

    run = _Run(flags, output)
    report = SyncReport()
    limits = SyncLimits(max_shrink=run.max_shrink, patience=wait)
    try:
        with run.client() as client:
            sync_catalogue(client, run.mesh, run.desired.nodes, limits, report)
    except ConsulError as error:
        run.show_failed(report, error.message)
        raise
    return run.show_done(report)


@command.command(
    "status",
    epilog="Examples: meshc consul status || meshc consul plan; meshc consul status --format json.",
)
@_shared_options
def status_command(output: str, **flags: Any) -> int:
    """Say whether the catalogue has what the bundle says.

    Exit code 1 if it differs. The first line says it all.
    """
    from meshc.delivery.register.sync import plan_sync  # noqa: PLC0415, start-up time

    run = _Run({**flags, "remove_all": False, "mesh": None, "allow_shrink": True}, output)
    with run.client() as client:
        changes = plan_sync(client, run.mesh, run.desired.nodes)
    is_drift = bool(changes.hosts or changes.collisions or changes.strays)
    if output == "json":
        run.print_json(changes, refused=changes.collisions, ok=not is_drift)
        return int(is_drift)
    word = run.style("DRIFT", "warning") if is_drift else run.style("OK", "good")
    run.say(f"{word}: {run.summary(changes, _DIFFERS)}")
    run.show_changes(changes)
    for reason in changes.collisions:
        run.warn("in the way", reason)
    return _DRIFT if is_drift else 0


class _Run:
    """One command: what the bundle says, which Consul, how to show what came of it."""

    def __init__(self, flags: dict[str, Any], output: str) -> None:
        self._flags = flags
        self._output = output
        self._shown = terminal()
        self._started = time.monotonic()
        self._calls = 0
        self._where = ""
        self.style = self._shown.style(sys.stdout)
        self.build = ""
        self.is_removal: bool = flags["remove_all"]
        self.max_shrink: float | None = None
        if not (flags["allow_shrink"] or self.is_removal):
            self.max_shrink = flags["max_shrink"]
        if flags["mesh"] and not self.is_removal:
            raise click.UsageError("--mesh goes with --remove-all; else the bundle says which mesh")
        self.mesh, self.desired = self._read()

    def _read(self) -> tuple[str, Desired]:
        from meshc.delivery.register.desired import (  # noqa: PLC0415, start-up time
            Desired,
            desired_registration,
        )
        from meshc.delivery.register.facts import read_mesh_facts  # noqa: PLC0415, start-up time
        from meshc.diagnostics.names import NAME_RULE, is_name  # noqa: PLC0415, start-up time

        name, mesh = self._flags["admin_service"], self._flags["mesh"]
        if not all(is_name(one) for one in (name, mesh) if one is not None):
            raise click.UsageError(NAME_RULE)
        if mesh is not None:
            return mesh, Desired(nodes=())
        facts = read_mesh_facts(self._flags["out"])
        self.build = facts.generation
        if self.is_removal:
            return facts.mesh, Desired(nodes=())
        return facts.mesh, desired_registration(facts.mesh, facts.instances, admin_service=name)

    @contextmanager
    def client(self) -> Iterator[ConsulClient]:
        """Open a client; its calls are counted."""
        from meshc.consul.client import ConsulClient  # noqa: PLC0415, start-up time

        settings = settings_from(self._flags)
        with ConsulClient(settings, max_body=_MAX_BODY, user_agent="meshc-consul") as client:
            self._where = client.where
            try:
                yield client
            finally:
                self._calls = client.exchanges

    def say(self, text: str) -> None:
        """Print for people."""
        self._shown.say(text)

    def warn(self, what: str, text: str) -> None:
        """Print what is in the way."""
        from meshc.cli.safe import plain  # noqa: PLC0415, start-up time

        style = self._shown.style(sys.stderr)
        self._shown.warn(f"{style(f'{what}:', 'error')} {plain(text)}")

    def show_changes(self, changes: Changes) -> None:
        """Print what is to be done, host by host, and what somebody should know."""
        from meshc.cli.consul_report import change_lines, remarks  # noqa: PLC0415, start-up time

        for line in change_lines(changes.hosts, is_full=bool(self._shown.verbosity)):
            self.say(line)
        for text in remarks(changes, self.desired.notes):
            self.say(f"{self.style('note:', 'hint')} {text}")

    def summary(self, changes: Changes, verbs: tuple[str, str, str]) -> str:
        """Count, and say what it took."""
        from meshc.cli.consul_report import tally  # noqa: PLC0415, start-up time

        build = f", build {self.build[:12]}" if self.build else ""
        return (
            f"mesh {self.mesh}{build}: {tally(changes.hosts, changes.unchanged, verbs)}"
            f" ({self._cost()})"
        )

    def _cost(self) -> str:
        seconds = time.monotonic() - self._started
        return f"{self._calls:,} calls, {seconds:.2f} s"

    def show_done(self, report: SyncReport) -> int:
        """Print what a run did, or why it did nothing; return the exit code."""
        if self._output == "json":
            self.print_json(
                report.planned, refused=report.refused, ok=not report.refused, did=report
            )
            return _REFUSED if report.refused else 0
        if report.refused:
            for reason in report.refused:
                self.warn("refused", reason)
            self._shown.warn(
                "Nothing was done (Changed=false). meshc consul plan shows it all; "
                "--allow-shrink allows hosts to lose what they have."
            )
            return _REFUSED
        from meshc.cli.consul_report import change_lines, remarks, tally  # noqa: PLC0415, as above

        for line in change_lines(report.done, is_full=bool(self._shown.verbosity)):
            self.say(line)
        for text in remarks(report.planned, self.desired.notes):
            self.say(f"{self.style('note:', 'hint')} {text}")
        changed = str(bool(report.done)).lower()
        self.say(
            f"{self.style('OK', 'good')} (Changed={changed}): mesh {self.mesh}: "
            f"{tally(report.done, report.planned.unchanged, _DONE)} ({self._cost()})"
        )
        return 0

    def show_failed(self, report: SyncReport, reason: str) -> None:
        """Print how far a run got that did not get to the end."""
        if self._output == "json":
            self.print_json(report.planned, refused=(), ok=False, did=report, error=reason)
            return
        from meshc.cli.consul_report import change_lines, tally  # noqa: PLC0415, start-up time

        for line in change_lines(report.done, is_full=bool(self._shown.verbosity)):
            self.say(line)
        changed = str(bool(report.done)).lower()
        left = len(report.planned.hosts) - len(report.done)
        self._shown.warn(
            f"FAILED (Changed={changed}): mesh {self.mesh}: "
            f"{tally(report.done, report.planned.unchanged, _DONE)}, {max(left, 0):,} not done; "
            "the next run finishes it"
        )

    def print_json(
        self,
        changes: Changes,
        *,
        refused: tuple[str, ...],
        ok: bool,
        did: SyncReport | None = None,
        error: str | None = None,
    ) -> None:
        """Print everything for programs."""
        from meshc.cli.consul_report import changes_data, remarks  # noqa: PLC0415, start-up time

        hosts = changes.hosts if did is None else did.done
        found: dict[str, Any] = {
            "ok": ok,
            "mesh": self.mesh,
            "build": self.build,
            "consul": self._where,
            "hosts": changes_data(hosts),
            "unchanged": changes.unchanged,
            "refused": list(refused),
            "local": dict(changes.local),
            "strays": dict(changes.strays),
            "notes": list(remarks(changes, self.desired.notes)),
            "calls": self._calls,
            "seconds": round(time.monotonic() - self._started, 3),
        }
        if did is not None:
            found["changed"] = bool(did.done)
        if error is not None:
            found["error"] = error
        click.echo(json.dumps(found, indent=2))
