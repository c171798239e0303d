"""`meshc svc`: service documents in Consul."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from meshc.cli.consul_options import consul_options
from meshc.cli.options import SpecsType, common_options, format_option, setting, terminal
from meshc.cli.safe import safe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from meshc.spec.places import SpecSource
    from meshc.store.change import Wish
    from meshc.store.snapshot import Snapshot
    from meshc.store.source import ConsulStore

_Command = TypeVar("_Command", bound="Callable[..., Any]")

_DEFAULT_STORE = "consul:///mesh"
_MESH_HINT = "mesh.yaml is the document named mesh."


@click.group(
    "svc",
    epilog="Where the store is: --specs consul://HOST:PORT/MESH, or MESHC_SPECS, or specs in "
    "meshc.toml, which hold for meshc build as well. Without HOST:PORT it is the Consul of "
    "CONSUL_HTTP_ADDR, or of this host. Examples: export MESHC_SPECS=consul:///mesh; "
    "meshc svc apply app -f app.yaml; meshc svc list; meshc build.",
)
def command() -> None:
    """Keep service documents in Consul instead of in files.

    A document is stored as it was written. Every change is checked as a whole mesh first and
    happens whole or not at all; a change that changes nothing writes nothing, and the answer
    says so: OK (Changed=false).
    """


def _store_options(function: _Command) -> _Command:
    """Add what every one of these commands has."""
    store_option = setting(
        "--specs",
        type=SpecsType(),
        metavar="consul://[HOST:PORT]/MESH",
        default=_DEFAULT_STORE,
        help=f"Where the store is; also for meshc build. Default: {_DEFAULT_STORE}.",
    )
    for option in (common_options, consul_options, format_option, store_option):
        function = option(function)
    return function


_check_option = click.option(
    "--check", "is_dry", is_flag=True, help="Write nothing; exit 1 if something would change."
)


def _store(specs: SpecSource, flags: Mapping[str, Any]) -> ConsulStore:
    from meshc.store.source import ConsulStore  # noqa: PLC0415, start-up time

    if not isinstance(specs, ConsulStore):
        raise click.UsageError(
            f'"{specs.root}" is a folder, and this command is for documents in Consul. '
            "Say --specs consul://HOST:PORT/MESH, or consul:///MESH for the Consul of "
            "CONSUL_HTTP_ADDR or of this host.",
            click.get_current_context(),
        )
    given = {name.removeprefix("consul_"): value for name, value in flags.items()}
    return replace(specs, flags=given)


@command.command(
    "apply",
    epilog="Examples: meshc svc apply app -f app.yaml; meshc svc apply -f specs; "
    "meshc svc apply -f app.yaml -f front.yaml; meshc svc apply mesh -f mesh.yaml; "
    f"generate | meshc svc apply app -f -. {_MESH_HINT}",
)
@click.argument("name", required=False)
@click.option(
    "-f",
    "--file",
    "files",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    help="Document, or folder of documents, or - for standard input; may be repeated.",
)
@_check_option
@click.option(
    "--literal",
    "is_literal",
    is_flag=True,
    help="Store a text also where only its comments, spacing or order are new.",
)
@_store_options
def apply_command(  # noqa: PLR0917, click calls by keyword
    name: str | None,
    files: tuple[Path, ...],
    is_dry: bool,
    is_literal: bool,
    specs: SpecSource,
    output: str,
    **flags: Any,
) -> int:
    """Store documents; others stay as they are.

    Without NAME a document is stored under the name that it gives itself, or its file's.
    Several documents are stored all or none. Everything that is wrong with the mesh as it would
    be is an error, with file, line and column, and nothing is stored; only a dependency that is
    not there yet is a warning, since one of two services has to come first.

    The order of hosts, dependencies and keys is no change, nor are comments and spacing.
    """
    from meshc.store.change import Wish  # noqa: PLC0415, start-up time
    from meshc.store.files import read_wanted  # noqa: PLC0415, start-up time

    store = _store(specs, flags)
    _check_name(name, files)
    wish = Wish(documents=read_wanted(files, name), is_literal=is_literal)
    return _change(store, wish, is_dry=is_dry, output=output)


def _check_name(name: str | None, files: Sequence[Path]) -> None:
    from meshc.diagnostics.names import NAME_RULE, is_name  # noqa: PLC0415, start-up time

    context = click.get_current_context()
    if name is None:
        if Path("-") in files:
            raise click.UsageError("Standard input has no name; give NAME.", context)
        return
    if not is_name(name):
        raise click.UsageError(f'"{name}" is not a valid name: {NAME_RULE}.', context)
    if len(files) > 1 or files[0].is_dir():
        raise click.UsageError("NAME is for one document; leave it out for several.", context)


@command.command(
    "delete",
    epilog=f"Examples: meshc svc delete app; meshc svc delete app10 app11. {_MESH_HINT}",
)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--force", "is_forced", is_flag=True, help="Delete also what others still call.")
@_check_option
@_store_options
def delete_command(
    names: tuple[str, ...],
    is_forced: bool,
    is_dry: bool,
    specs: SpecSource,
    output: str,
    **flags: Any,
) -> int:
    """Delete documents: exactly these, all or none.

    A service that others depend on is not deleted, and they are named. One that is not there is
    gone already: OK (Changed=false).
    """
    from meshc.store.change import Wish  # noqa: PLC0415, start-up time

    store = _store(specs, flags)
    wish = Wish(deleted=names, is_forced=is_forced)
    return _change(store, wish, is_dry=is_dry, output=output)


@command.command(
    "import",
    epilog="Examples: meshc svc import specs; meshc svc import specs --prune --check.",
)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--prune", "is_pruning", is_flag=True, help="Delete what the folder does not have.")
@_check_option
@_store_options
def import_command(
    directory: Path,
    is_pruning: bool,
    is_dry: bool,
    specs: SpecSource,
    output: str,
    **flags: Any,
) -> int:
    """Make the store what the folder DIRECTORY is, in one step.

    However many documents there are, whoever reads the store sees those before or those after.
    Where the store has services that the folder does not have, nothing is done without --prune;
    to leave them alone: meshc svc apply -f DIRECTORY.
    """
    from meshc.store.change import Wish  # noqa: PLC0415, start-up time
    from meshc.store.files import read_folder  # noqa: PLC0415, start-up time

    store = _store(specs, flags)
    wish = Wish(documents=read_folder(directory), is_complete=True, may_prune=is_pruning)
    return _change(store, wish, is_dry=is_dry, output=output)


@command.command(
    "export",
    epilog="Examples: meshc svc export specs && meshc build --specs specs; then out/ is what "
    "meshc build makes from the store, byte by byte.",
)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--prune", "is_pruning", is_flag=True, help="Remove documents that the store does not have."
)
@_store_options
def export_command(
    directory: Path, is_pruning: bool, specs: SpecSource, output: str, **flags: Any
) -> int:
    """Make the folder DIRECTORY what the store is.

    Each document is written as it was stored. Files that stay the same are not touched.
    """
    from meshc.cli.svc_change import truth  # noqa: PLC0415, start-up time
    from meshc.store.files import export_documents  # noqa: PLC0415, start-up time

    snapshot = _read(_store(specs, flags))
    done = export_documents(snapshot.documents, directory, is_pruning=is_pruning)
    has_changed = bool(done.written or done.removed)
    if output == "json":
        data = {
            "ok": True,
            "changed": has_changed,
            "revision": snapshot.revision.number,
            "written": sorted(done.written),
            "removed": sorted(done.removed),
            "unchanged": sorted(done.unchanged),
        }
        click.echo(json.dumps(data, indent=2))
        return 0
    terminal().say(
        f"OK (Changed={truth(has_changed)})\n"
        f"{directory}: {len(done.written)} written, {len(done.unchanged)} unchanged, "
        f"{len(done.removed)} removed (revision {snapshot.revision.number})"
    )
    return 0


@command.command(
    "show",
    epilog=f"Examples: meshc svc show app; meshc svc show app > app.yaml. {_MESH_HINT}",
)
@click.argument("name")
@_store_options
def show_command(name: str, specs: SpecSource, output: str, **flags: Any) -> int:
    """Print a document as it was written."""
    from meshc.diagnostics.errors import UnknownNameError  # noqa: PLC0415, start-up time
    from meshc.store.documents import file_name  # noqa: PLC0415, start-up time

    snapshot = _read(_store(specs, flags))
    stored = snapshot.documents.get(name)
    if stored is None:
        raise UnknownNameError("document", name, snapshot.documents)
    if output == "json":
        data = {
            "name": stored.name,
            "file": file_name(name, stored.content),
            "revision": stored.revision,
            "document": stored.content.decode("utf-8", "replace"),
        }
        click.echo(json.dumps(data, indent=2))
    else:
        # A file gets the document to the byte, a terminal what it can be trusted with.
        is_seen = sys.stdout.isatty()
        text = safe(stored.content.decode("utf-8", "replace")) if is_seen else stored.content
        click.echo(text, nl=False)
    return 0


@command.command("list", epilog="Example: meshc svc list --format json | jq '.services[].name'")
@_store_options
def list_command(specs: SpecSource, output: str, **flags: Any) -> int:
    """List the services and what they call.

    Name, protocol, hosts, dependencies, revision; -v shows long lists whole. A revision is the
    beginning of the SHA-256 of a document.
    """
    from meshc.cli.svc_list import show_list  # noqa: PLC0415, start-up time

    store = _store(specs, flags)
    return show_list(store, _read(store), output=output, shown=terminal())


def _read(store: ConsulStore) -> Snapshot:
    from meshc.store.snapshot import read_snapshot  # noqa: PLC0415, start-up time

    with store.connected() as client:
        return read_snapshot(client, store.keys)


def _change(store: ConsulStore, wish: Wish, *, is_dry: bool, output: str) -> int:
    from meshc.cli.svc_change import show_outcome  # noqa: PLC0415, start-up time
    from meshc.store.apply import change_store  # noqa: PLC0415, start-up time

    with store.connected() as client:
        outcome = change_store(client, store, wish, is_dry=is_dry)
    return show_outcome(outcome, is_dry=is_dry, output=output, shown=terminal())
