"""What shall be registered, what is → what to do about each host; pure.

Every step says what it was decided upon, so that Consul itself refuses it where that has changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshc.delivery.register.entries import (
        Found,
        FoundNode,
        FoundService,
        NodeEntry,
        ServiceEntry,
    )

Action = Literal["add", "change", "remove"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PutNode:
    """Write a node; ``index`` 0 if there must be none of that name."""

    entry: NodeEntry
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PutService:
    """Write a service of a node; ``index`` 0 if there must be none of that id."""

    node_name: str
    entry: ServiceEntry
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DropService:
    """Take a service out."""

    node_name: str
    found: FoundService


@dataclass(frozen=True, slots=True, kw_only=True)
class DropNode:
    """Take a node out with all that is on it."""

    found: FoundNode


Step = PutNode | PutService | DropService | DropNode


@dataclass(frozen=True, slots=True, kw_only=True)
class HostChange:
    """What becomes of one host; ``before`` or ``after`` is None where it comes or goes."""

    action: Action
    node: str
    name: str
    before: FoundNode | None
    after: NodeEntry | None
    steps: tuple[Step, ...]

    @property
    def loses_something(self) -> bool:
        """Whether something is taken out that somebody may be using."""
        return any(isinstance(step, DropService | DropNode) for step in self.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What a run would do.

    Attributes:
        hosts: Hosts to change, what comes and stays before what goes.
        unchanged: How many hosts are registered as they shall be.
        registered: How many hosts of this mesh are registered now.
        collisions: Why some cannot be registered; nothing is done as long as there are any.
        local: Hosts of the mesh that an agent has registered, which is theirs to change.
        strays: Hosts that an agent has registered and that are no longer in the mesh.
        notes: What somebody should know.
    """

    hosts: tuple[HostChange, ...] = ()
    unchanged: int = 0
    registered: int = 0
    collisions: tuple[str, ...] = ()
    local: Mapping[str, str] = field(default_factory=dict)
    strays: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def reconcile(desired: Iterable[NodeEntry], found: Found) -> Changes:
    """Compare; nothing of anybody else's is ever part of the result.

    Names of nodes and ids of services that differ in case only are one to Consul, and so here.
    """
    left = {node.name.lower(): node for node in found.nodes}
    hosts: list[HostChange] = []
    collisions: list[str] = []
    unchanged = 0
    wanted: set[str] = set()
    for entry in desired:
        wanted.add(entry.node)
        if entry.node in found.local:
            continue
        before = left.pop(entry.name.lower(), None)
        problems = list(_collisions(entry, before, found.taken))
        collisions += problems
        steps = () if problems else tuple(_steps(entry, before))
        if steps:
            hosts.append(_change("add" if before is None else "change", entry, before, steps))
        else:
            unchanged += not problems
    notes = []
    for gone in sorted(left.values(), key=lambda node: node.name):
        if steps := tuple(_steps_out(gone)):
            hosts.append(_change("remove", None, gone, steps))
        if gone.foreign:
            others = ", ".join(sorted(gone.foreign))
            notes.append(f'node "{gone.name}" stays, because of services of others: {others}')
    return Changes(
        hosts=tuple(hosts),
        unchanged=unchanged,
        registered=len(found.nodes),
        collisions=tuple(collisions),
        local={node: where for node, where in found.local.items() if node in wanted},
        strays={node: where for node, where in found.local.items() if node not in wanted},
        notes=tuple(notes),
    )


def _change(
    action: Action, after: NodeEntry | None, before: FoundNode | None, steps: tuple[Step, ...]
) -> HostChange:
    shown = after or before
    if shown is None:  # there is one or the other
        raise AssertionError(action)
    return HostChange(
        action=action,
        node=shown.node,
        name=shown.name,
        before=before,
        after=after,
        steps=steps,
    )


def _collisions(entry: NodeEntry, before: FoundNode | None, taken: frozenset[str]) -> Iterable[str]:
    if before is None and entry.name.lower() in taken:
        yield f'there is a node "{entry.name}" that is not of this mesh'
    foreign = set() if before is None else {one.lower() for one in before.foreign}
    for service in entry.services:
        if service.id.lower() in foreign:
            yield f'node "{entry.name}" has a service "{service.id}" that is not of this mesh'


def _steps(entry: NodeEntry, before: FoundNode | None) -> Iterable[Step]:
    """Yield what makes a host as it shall be: first what comes, then what goes."""
    index = 0 if before is None else before.index
    if before is None or not _is_same_node(entry, before):
        yield PutNode(entry=entry, index=index)
    there = {} if before is None else {key.lower(): one for key, one in before.services.items()}
    for service in entry.services:
        known = there.pop(service.id.lower(), None)
        if known is None or known.entry != service:
            yield PutService(
                node_name=entry.name, entry=service, index=0 if known is None else known.index
            )
    for _, gone in sorted(there.items()):
        yield DropService(node_name=entry.name, found=gone)


def _is_same_node(entry: NodeEntry, before: FoundNode) -> bool:
    return (entry.name, entry.address, entry.meta) == (before.name, before.address, before.meta)


def _steps_out(gone: FoundNode) -> Iterable[Step]:
    """Yield what takes a host out; its node stays as long as others have something on it."""
    if not gone.foreign:
        yield DropNode(found=gone)
        return
    for _, service in sorted(gone.services.items()):
        yield DropService(node_name=gone.name, found=service)
