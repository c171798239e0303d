"""`meshc drain`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from meshc.cli.options import common_options, terminal
from meshc.diagnostics.errors import SettingsError

_BOOTSTRAP = "/var/lib/meshc/envoy/bootstrap.json"
_WITHIN_S = 60.0


@click.command(
    "drain",
    epilog="Examples: meshc drain && systemctl restart envoy (the unit of meshc does it by "
    "itself); meshc drain --admin http://127.0.0.1:9901 --within 10. "
    "Exit codes: 0 everything has ended; 1 something was still open when time was up; "
    "3 no Envoy answers.",
)
@click.option(
    "--bootstrap",
    type=click.Path(path_type=Path, dir_okay=False),
    default=_BOOTSTRAP,
    show_default=True,
    help="What the Envoy was started with; says where its admin interface is.",
)
@click.option(
    "--admin",
    metavar="ADDRESS",
    help="Where the admin interface is instead: http://HOST:PORT or unix:/PATH.",
)
@click.option(
    "--within",
    type=click.FloatRange(min=0),
    default=_WITHIN_S,
    show_default=True,
    metavar="SECONDS",
    help="Longest wait.",
)
@common_options
def command(bootstrap: Path, admin: str | None, within: float) -> int:
    """Let an Envoy's requests end before it is stopped.

    Callers go to other hosts at once; requests under way are answered.  Connections of TCP
    services and WebSockets are waited for, too.  The Envoy accepts nothing afterwards, so stop or
    restart it.
    """
    from meshc.delivery.agent.admin import AdminAddress, EnvoyAdmin  # noqa: PLC0415, start-up time
    from meshc.delivery.agent.settings import admin_address  # noqa: PLC0415, the same
    from meshc.delivery.drain import drain  # noqa: PLC0415, the same

    shown = terminal()
    if admin is not None:
        address = admin_address(admin)
    else:
        address = AdminAddress.from_bootstrap(_read(bootstrap))
    told: dict[str, int] = {}

    def progress(what: str, left: int) -> None:
        if told.get(what) != left:
            told[what] = left
            shown.say(f"{what}: {left} under way")

    result = drain(EnvoyAdmin(address), within_s=within, on_progress=progress)
    if result.is_done:
        shown.say(f"everything has ended; {result.seconds:.1f} s")
        return 0
    names = ", ".join(f"{name}: {count}" for name, count in sorted(result.left.items()))
    shown.warn(f"after {result.seconds:.0f} s there is still something open: {names}")
    return 1


def _read(path: Path) -> dict[str, object]:
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise SettingsError(
            f'cannot read "{path}": {error.strerror}',
            hint="name the bootstrap with --bootstrap, or the admin interface with --admin",
        ) from error
    except ValueError as error:
        raise SettingsError(f'"{path}" is not valid JSON: {error}') from error
    if not isinstance(found, dict):
        raise SettingsError(f'"{path}" is not the bootstrap of an Envoy')
    return found
