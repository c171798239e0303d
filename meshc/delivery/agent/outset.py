"""What a delivery starts from: both sets of files, each read once, and what Envoy runs of them.

Looking costs milliseconds.  The agent spends them while its ledger is being written down, so the
delivery takes over what was seen, if it still holds once the directory is its own.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshc.artifact.layout import LDS
from meshc.delivery.agent.admin import AdminAddress, EnvoyAdmin
from meshc.delivery.agent.configuration import read_configuration, version_of
from meshc.delivery.agent.confirm import Baseline
from meshc.delivery.agent.host_files import expected_of, stale_among, traces_of
from meshc.delivery.agent.steps import Put, plan_steps
from meshc.delivery.agent.swap import read_files
from meshc.delivery.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from meshc.artifact.store import NodeBundle
    from meshc.delivery.agent.admin import ServerInfo
    from meshc.delivery.agent.configuration import Configuration
    from meshc.delivery.agent.host_files import Traces
    from meshc.delivery.agent.steps import Step

_FRESH_S = 1.0
"""Within this nobody restarts an Envoy, or edits a file and puts the old times back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lying:
    """A complete set that lies in a directory, with the traces from before it was read."""

    there: Configuration
    traces: Traces


@dataclass(frozen=True, slots=True, kw_only=True)
class Outset:
    """Where a delivery starts, and the steps from there.

    ``old`` lies on disk and ``new`` shall lie there; ``info`` is the Envoy that ``admin`` asks.
    """

    old: Configuration
    new: Configuration
    admin: EnvoyAdmin
    info: ServerInfo
    steps: tuple[Step, ...]
    baseline: Baseline
    traces: Traces
    seen_at: float

    def holds(self, directory: Path) -> bool:
        """Whether nothing has moved since."""
        is_fresh = time.monotonic() < self.seen_at + _FRESH_S
        return is_fresh and traces_of(directory) == self.traces


def lying_in(directory: Path) -> Lying | None:
    """Read the set that lies in a directory; None where no set can be read from it.

    Raises:
        DeliveryError: the disk does not give it.
    """
    traces = traces_of(directory)
    files = read_files(directory)
    try:
        return Lying(there=read_configuration(files, origin=f'"{directory}"'), traces=traces)
    except DeliveryError:
        return None


def _read_lying(directory: Path) -> Lying:
    traces = traces_of(directory)
    there = read_configuration(read_files(directory), origin=f'"{directory}"')
    return Lying(there=there, traces=traces)


def survey(
    bundle: NodeBundle,
    directory: Path,
    *,
    lying: Lying | None = None,
    new: Configuration | None = None,
    admin: EnvoyAdmin | None = None,
    info: ServerInfo | None = None,
) -> Outset:
    """Look at everything that a delivery depends on; changes nothing.

    Args:
        bundle: What shall be delivered.
        directory: Where to.
        lying: What lies there, if that has just been read.
        new: What the bundle holds, if that has been read.
        admin: The Envoy to ask; else that of the bootstrap which lies there.
        info: What that Envoy has just said about itself.

    Raises:
        DeliveryError: a set is not complete, or the Envoy is not this node's, or gone.
    """
    seen_at = time.monotonic()
    lying = lying or _read_lying(directory)
    old = lying.there
    if new is None:
        new = read_configuration(bundle.files, origin=f'the bundle of "{bundle.node}"')
    check_complete(new, bundle.node)
    admin = admin or EnvoyAdmin(AdminAddress.from_bootstrap(old.bootstrap))
    info = info or admin.server_info()
    if info.node != bundle.node:
        raise DeliveryError(
            f'the Envoy at {admin.address} is node "{info.node}", not "{bundle.node}"',
            hint="deliver each node's files to its own host",
        )
    stale = stale_files(old, admin.versions())
    # What is draining matters only to clusters that shall go, and is dear to ask.
    is_draining = bool(old.clusters.keys() - new.clusters.keys()) and admin.draining() > 0
    # Where Envoy has overlooked listeners, those on disk do not tell which addresses it holds.
    running = admin.listeners() if LDS in stale else None
    steps = plan_steps(old, new, stale=stale, is_draining=is_draining, running=running)
    return Outset(
        old=old,
        new=new,
        admin=admin,
        info=info,
        steps=steps,
        baseline=Baseline.of(
            admin, (name for one in steps if isinstance(one, Put) for name in one.subscriptions)
        ),
        traces=lying.traces,
        seen_at=seen_at,
    )


def check_complete(new: Configuration, node: str) -> None:
    """Refuse a bundle that could not be confirmed, before anything is touched."""
    for path in new.watchers(new.clusters, new.listeners):
        if path not in new.files:
            raise DeliveryError(f'the bundle of "{node}" refers to "{path}" and does not have it')
        version_of(new.files[path], path)


def stale_files(there: Configuration, versions: Mapping[str, str]) -> frozenset[str]:
    """Files that lie on disk and that Envoy says it does not run."""
    return stale_among(expected_of(there), versions)
