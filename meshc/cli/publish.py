"""`meshc publish`: put a bundle where agents read it."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from meshc.cli.consul_options import consul_options, settings_from
from meshc.cli.options import common_options, format_option, out_option, terminal
from meshc.cli.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshc.delivery.publish.local import LocalBundle
    from meshc.delivery.publish.place import Place
    from meshc.delivery.publish.publisher import Published, Wishes

_Command = TypeVar("_Command", bound="Callable[..., Any]")

_REFUSED = 1
_SHOWN_NODES = 10
_KIB = 1024
_GRACE = re.compile(r"([0-9]{1,6})(s|m|h|d)\Z")
_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class _Grace(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases only
    """A time such as ``24h``, in milliseconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = _GRACE.match(str(value))
        if found is None:
            self.fail(f'"{value}" is no time: say 90s, 30m, 24h or 7d', param, ctx)
        return int(found[1]) * _UNITS_MS[found[2]]


def _publish_options(function: _Command) -> _Command:
    """Add what every place has."""
    for option in (
        common_options,
        format_option,
        click.option(
            "--grace",
            "grace_ms",
            type=_Grace(),
            default="24h",
            metavar="TIME",
            help="How long content stays that no node uses any more, for hosts that may still be "
            "reading it. Default: 24h.",
        ),
        click.option("--allow-empty", is_flag=True, help="Publish a mesh that has no nodes, too."),
        click.option(
            "--allow-shrink", is_flag=True, help="Publish however many nodes leave the mesh."
        ),
        click.option(
            "--max-shrink",
            type=click.FloatRange(0, 1),
            default=0.3,
            help="Share of its nodes that may leave the mesh at once; one may always. "
            "Default: 0.3.",
        ),
        click.option(
            "--again",
            is_flag=True,
            help="Write everything once more, with the time of now: after Consul came back from a "
            "snapshot, or where something was removed or damaged.",
        ),
        click.option(
            "--dry-run", "is_dry", is_flag=True, help="Say what would be done; write nothing."
        ),
        out_option,
    ):
        function = option(function)
    return function


@click.group(
    "publish",
    epilog="Examples: meshc publish consul; meshc publish consul consul://10.0.0.5:8500/shop; "
    "meshc publish dir /srv/mesh. Agents then follow with --source consul://10.0.0.5:8500/shop, "
    "/srv/mesh, or https://HOST/PATH of a web server on that folder.",
)
@common_options
def command() -> None:
    """Put the bundle of --out where agents read it: into Consul, or into a folder.

    Only what has changed is written: content first, by its digest and shared by all nodes that
    use the same, then one small pointer for each node that changes. Whenever this is cut off,
    every host sees its old files or its new ones, and the next run finishes it.

    Every publication has its time, and agents follow it forward only, also where Consul comes
    back with the data of yesterday.
    """


@command.command(
    "consul",
    epilog="Examples: meshc publish consul --dry-run; in CI, one at a time: meshc publish consul "
    "--consul-token-file token consul+https://consul.example:8501/shop.",
)
@click.argument("address", default="", metavar="[consul://HOST:PORT/MESH]")
@_publish_options
@consul_options
def consul_command(address: str, out: Path, **flags: Any) -> int:
    """Publish to Consul's KV, below meshc/v1/MESH.

    The mesh is that of the bundle; an address that names another one is refused. Without an
    address it is the Consul of CONSUL_HTTP_ADDR, or of this host.
    """
    from meshc.consul.address import parse_consul_url  # noqa: PLC0415, start-up time
    from meshc.consul.client import ConsulClient  # noqa: PLC0415, start-up time
    from meshc.delivery.publish.to_consul import ConsulPlace  # noqa: PLC0415, start-up time

    place = parse_consul_url(address) if address else None
    settings = settings_from(flags, address=place.address if place else "")
    with ConsulClient(settings, user_agent="meshc-publish") as client:
        return _publish(
            out, lambda mesh: ConsulPlace(client, mesh), flags, mesh=place.mesh if place else ""
        )


@command.command(
    "dir",
    epilog="Examples: meshc publish dir /srv/mesh; then for hosts that pull by rsync: "
    "rsync -a --delete --exclude .new --exclude .lock server:/srv/mesh/ /srv/mesh/.",
)
@click.argument("directory", type=click.Path(path_type=Path))
@_publish_options
def dir_command(directory: Path, out: Path, **flags: Any) -> int:
    """Publish to a folder, for rsync, a shared disk or a web server."""
    from meshc.delivery.publish.to_directory import Folder  # noqa: PLC0415, start-up time

    return _publish(out, lambda _mesh: Folder(directory), flags)


def _publish(
    out: Path, place_of: Callable[[str], Place], flags: dict[str, Any], *, mesh: str = ""
) -> int:
    from meshc.artifact.write import no_writer  # noqa: PLC0415, start-up time
    from meshc.delivery.publish.local import LocalBundle  # noqa: PLC0415, start-up time
    from meshc.delivery.publish.plan import (  # noqa: PLC0415, start-up time
        PublishError,
        PublishRefusedError,
    )
    from meshc.delivery.publish.publisher import Publisher  # noqa: PLC0415, start-up time

    shown = terminal()
    started = time.monotonic()
    wishes = _wishes(flags)
    with no_writer(out), Progress(shown, "publishing") as progress:
        bundle = LocalBundle(out)
        if mesh not in {"", bundle.mesh}:
            raise PublishError(
                f'"{out}" is the bundle of mesh "{bundle.mesh}", and not of "{mesh}"',
                hint=f"say …/{bundle.mesh}, or --out with the bundle that is meant",
            )
        place = place_of(bundle.mesh)
        publisher = Publisher(bundle, place, wishes, progress=progress.update)
        try:
            done = publisher.publish(time.time_ns() // 1_000_000)
        except PublishRefusedError as error:
            return _refuse(error.message, error.hint or "", flags["output"])
    seconds = time.monotonic() - started
    if flags["output"] == "json":
        click.echo(_data(done, place, seconds, is_dry=wishes.is_dry), nl=False)
    else:
        _show(done, place, seconds, bundle, is_dry=wishes.is_dry)
    return 0


def _wishes(flags: dict[str, Any]) -> Wishes:
    from meshc.delivery.publish.plan import Bounds  # noqa: PLC0415, start-up time
    from meshc.delivery.publish.publisher import Wishes  # noqa: PLC0415, start-up time

    return Wishes(
        bounds=Bounds(
            max_shrink=flags["max_shrink"],
            may_shrink=flags["allow_shrink"],
            may_be_empty=flags["allow_empty"],
        ),
        again=flags["again"],
        grace_ms=flags["grace_ms"],
        is_dry=flags["is_dry"],
    )


def _refuse(message: str, hint: str, output: str) -> int:
    if output == "json":
        click.echo(json.dumps({"ok": False, "changed": False, "refused": message, "hint": hint}))
        return _REFUSED
    shown = terminal()
    shown.warn(f"REFUSED: {message}")
    shown.warn(f"  do: {hint}")
    return _REFUSED


def _data(done: Published, place: Place, seconds: float, *, is_dry: bool) -> str:
    data = {
        "ok": True,
        "changed": done.is_changed,
        "dry_run": is_dry,
        "place": place.name,
        "generation": done.generation,
        "order": done.order,
        "nodes": done.nodes,
        "written": list(done.written),
        "removed": list(done.removed),
        "blobs": done.blobs,
        "bytes": done.stored,
        "collected": done.collected,
        "seconds": round(seconds, 3),
    }
    return json.dumps(data, indent=2) + "\n"


def _show(
    done: Published, place: Place, seconds: float, bundle: LocalBundle, *, is_dry: bool
) -> None:
    shown = terminal()
    nodes = f"{done.nodes:,} node" + ("" if done.nodes == 1 else "s")
    build = f"build {bundle.generation[:12]}"
    if not done.is_changed:
        shown.say(f"{place.name}: {nodes} as they are already, {build}; {seconds:.2f} s")
    else:
        what = "would publish" if is_dry else "published"
        size = "" if is_dry else f" ({done.stored / _KIB:,.1f} KiB)"
        shown.say(
            f"{place.name}: {what} {len(done.written):,} of {nodes}, {len(done.removed):,} gone, "
            f"{done.blobs:,} blobs{size}, {build}; {seconds:.2f} s"
        )
    marked = [f"  moves {node}" for node in done.written]
    marked += [f"  goes  {node}: its host keeps the files that it has" for node in done.removed]
    limit = len(marked) if shown.verbosity else _SHOWN_NODES
    for line in marked[:limit]:
        shown.say(line)
    if len(marked) > limit:
        shown.say(f"  … and {len(marked) - limit:,} more; -v shows all")
    if done.collected:
        shown.say(f"  {done.collected:,} blobs that nobody had used for long are gone")
    changed = str(done.is_changed).lower()
    shown.say(f"OK (Changed={changed})" + (", nothing was written" if is_dry else ""))
