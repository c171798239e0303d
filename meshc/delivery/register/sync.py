"""One run over the catalogue: alone, decided upon what is there, safe to cut off anywhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from meshc.artifact.published import mesh_key
from meshc.consul.errors import ConsulConflictError
from meshc.consul.lock import hold_lock
from meshc.delivery.register.catalogue import StaleError, read_catalogue, write_changes
from meshc.delivery.register.guard import refusal
from meshc.delivery.register.reconcile import Changes, reconcile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meshc.consul.client import ConsulClient
    from meshc.delivery.register.entries import NodeEntry
    from meshc.delivery.register.reconcile import HostChange

_ROUNDS = 5
"""Others may change an entry now and then; who does so all the time is at work here too."""


@dataclass(slots=True)
class SyncReport:
    """What a run found and did; filled as it goes on, so that it tells of a run that failed too.

    Attributes:
        planned: What was to be done, as decided last.
        done: Hosts that are done, all of what they needed.
        refused: Why nothing was done.
    """

    planned: Changes = field(default_factory=Changes)
    done: list[HostChange] = field(default_factory=list)
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncLimits:
    """What share of the registered hosts may lose something in a run; None is no limit.

    ``patience`` is how many seconds to wait for another run to end.
    """

    max_shrink: float | None
    patience: float


def plan_sync(client: ConsulClient, mesh: str, desired: Sequence[NodeEntry]) -> Changes:
    """Say what a run would do, without doing anything.

    Raises:
        ConsulError: Consul does not answer, or does not show everything.
    """
    # Where nobody without a token may read anything, an empty answer is no news; this is denied.
    client.kv_get(lock_key(mesh))
    return reconcile(desired, read_catalogue(client, mesh))


def lock_key(mesh: str) -> str:
    """Key of the lock that one run at a time holds."""
    return mesh_key(mesh, "registration-lock")


def sync_catalogue(
    client: ConsulClient,
    mesh: str,
    desired: Sequence[NodeEntry],
    limits: SyncLimits,
    report: SyncReport,
) -> None:
    """Make the catalogue have exactly the desired nodes of a mesh; ``report`` tells how far it got.

    Raises:
        ConsulError: the rest is not done; the next run does it.
    """
    registered: int | None = None
    losing: set[str] = set()
    with hold_lock(
        client, lock_key(mesh), purpose="meshc consul sync", patience=limits.patience
    ) as held:
        for _ in range(_ROUNDS):
            changes = reconcile(desired, read_catalogue(client, mesh))
            report.planned = changes
            registered = changes.registered if registered is None else registered
            losing.update(host.node for host in changes.hosts if host.loses_something)
            report.refused = refusals(changes, losing, registered, limits.max_shrink)
            if report.refused:
                return
            try:
                for host in write_changes(client, held, changes.hosts):
                    report.done.append(host)
            except StaleError:
                continue
            return
    raise ConsulConflictError(
        "somebody else changes the entries of this mesh all the time",
        hint="find out who: meshc consul status shows what differs",
    )


def refusals(
    changes: Changes, losing: set[str], registered: int, max_shrink: float | None
) -> tuple[str, ...]:
    """Say why a run does nothing."""
    too_much = None
    if max_shrink is not None:
        too_much = refusal(losing, registered=registered, share=max_shrink)
    return changes.collisions + (() if too_much is None else (too_much,))
