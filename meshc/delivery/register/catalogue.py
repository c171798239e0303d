"""Nodes of their own in Consul's catalogue: read as a whole, written in transactions."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from meshc.consul.errors import (
    ConsulConflictError,
    ConsulDeniedError,
    ConsulError,
    ConsulReplyError,
)
from meshc.consul.kv import MAX_OPERATIONS, MAX_TXN_BODY, CatalogOperation
from meshc.delivery.register.entries import (
    MANAGED_BY,
    MESH,
    NODE,
    NODE_MESH,
    NODE_NODE,
    Found,
    FoundNode,
    FoundService,
    ServiceEntry,
    is_node_of,
    is_service_of,
    service_body,
)
from meshc.delivery.register.reconcile import DropNode, DropService, PutNode, PutService

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from meshc.consul.client import ConsulClient
    from meshc.consul.kv import TxnFailure
    from meshc.consul.lock import HeldLock
    from meshc.consul.reading import Reply
    from meshc.delivery.register.reconcile import HostChange, Step

_T = TypeVar("_T")

_READERS = 8
_STEPS = MAX_OPERATIONS - 1
"""The first operation of a transaction is the fence."""
_BYTES = MAX_TXN_BODY * 3 // 4
_STALE = ("index is stale", "Missing node registration")
_UNFENCED = "session check"


class StaleError(ConsulConflictError):
    """Somebody has changed what a step was decided upon; nothing of its transaction was done."""


def read_catalogue(client: ConsulClient, mesh: str) -> Found:
    """Read all that is this mesh's, and all nodes that are named as if they were.

    One question for the nodes, one for the names of services on them, and one for each of these;
    none for each node.

    Raises:
        ConsulDeniedError: the token may not see all of it, and a part could be taken for it all.
        ConsulError: Consul does not answer, or not sensibly.
    """
    node_filter = f'Meta["{NODE_MESH}"] == "{mesh}" or Node matches "(?i)^meshc-{mesh}-"'
    nodes = _all(client, client.catalog_nodes(filter_expression=node_filter, **_CONSISTENT))
    key, value = MANAGED_BY
    service_filter = (
        f'NodeMeta["{NODE_MESH}"] == "{mesh}" or '
        f'(ServiceMeta["{MESH}"] == "{mesh}" and ServiceMeta["{key}"] == "{value}")'
    )
    names = _all(client, client.catalog_services(filter_expression=service_filter, **_CONSISTENT))

    def instances(name: str) -> list[dict[str, Any]]:
        return _all(
            client,
            client.catalog_service(name, filter_expression=service_filter, **_CONSISTENT),
        )

    with ThreadPoolExecutor(_READERS) as readers:
        services = [one for found in readers.map(instances, sorted(names)) for one in found]
    try:
        return _found(mesh, nodes, services)
    except (KeyError, TypeError, AttributeError) as error:
        raise ConsulReplyError(
            f"{client.where} answers what cannot be read: {type(error).__name__}: {error}"
        ) from error


_CONSISTENT: Mapping[str, Any] = {"consistency": "consistent"}


def _all(client: ConsulClient, reply: Reply[_T]) -> _T:
    if reply.is_filtered:
        raise ConsulDeniedError(
            f"{client.where} shows only a part of what is registered: the token may not see it all",
            hint="docs/consul.md has the rules that registration needs",
        )
    return reply.value


def _found(mesh: str, nodes: Iterable[dict[str, Any]], services: Iterable[dict[str, Any]]) -> Found:
    # By names in lower case: a service goes on naming its node as it was spelled before.
    own = {one["Node"].lower(): one for one in nodes if is_node_of(mesh, one["Meta"] or {})}
    taken = frozenset(one["Node"].lower() for one in nodes).difference(own)
    registered: dict[str, dict[str, FoundService]] = {name: {} for name in own}
    foreign: dict[str, set[str]] = {name: set() for name in own}
    local: dict[str, str] = {}
    for one in services:
        name, meta = one["Node"].lower(), one["ServiceMeta"] or {}
        if not is_service_of(mesh, meta):
            foreign.get(name, set()).add(one["ServiceID"])
        elif name in own:
            registered[name][one["ServiceID"]] = _service(one, meta)
        else:
            local[meta[NODE]] = one["Node"]
    return Found(
        nodes=tuple(
            FoundNode(
                name=one["Node"],
                node=one["Meta"][NODE_NODE],
                address=one["Address"],
                meta=one["Meta"],
                index=one["ModifyIndex"],
                services=registered[name],
                foreign=frozenset(foreign[name]),
            )
            for name, one in own.items()
        ),
        taken=taken,
        local=local,
    )


def _service(one: Mapping[str, Any], meta: Mapping[str, str]) -> FoundService:
    weights = one["ServiceWeights"]
    is_ours = weights["Passing"] == weights["Warning"]
    entry = ServiceEntry(
        id=one["ServiceID"],
        name=one["ServiceName"],
        node=meta[NODE],
        address=one["ServiceAddress"],
        port=one["ServicePort"],
        tags=tuple(one["ServiceTags"] or ()),
        meta=meta,
        weight=weights["Passing"] if is_ours else 0,
    )
    return FoundService(entry=entry, index=one["ModifyIndex"])


def write_changes(
    client: ConsulClient, held: HeldLock, changes: Sequence[HostChange]
) -> Iterator[HostChange]:
    """Do what was decided under the lock that is held; yield every host that is done.

    Raises:
        StaleError: the rest has to be decided anew.
        ConsulError: the rest is not done.
    """
    for steps, done in _batches(changes):
        held.check()
        result = client.txn([held.fence(), *steps])
        if not result.ok:
            _explain(client, result.errors)
        yield from done


def _batches(
    changes: Sequence[HostChange],
) -> Iterator[tuple[list[CatalogOperation], list[HostChange]]]:
    """Yield operations that fit a transaction, with the hosts that are done with them."""
    steps: list[CatalogOperation] = []
    done: list[HostChange] = []
    size = 0
    for change in changes:
        for step in change.steps:
            operation = _operation(step)
            length = len(json.dumps(operation.entry))
            if steps and (len(steps) == _STEPS or size + length > _BYTES):
                yield steps, done
                steps, done, size = [], [], 0
            steps.append(operation)
            size += length
        done.append(change)
    if steps:
        yield steps, done


def _operation(step: Step) -> CatalogOperation:
    match step:
        case PutNode(entry=node, index=index):
            return CatalogOperation(
                kind="Node",
                verb="cas",
                entry={
                    "Node": node.name,
                    "Address": node.address,
                    "Meta": dict(node.meta),
                    "ModifyIndex": index,
                },
            )
        case PutService(node_name=name, entry=service, index=index):
            body = {**service_body(service), "Service": service.name, "ModifyIndex": index}
            return CatalogOperation(kind="Service", verb="cas", node=name, entry=body)
        case DropService(node_name=name, found=found):
            named = {"ID": found.entry.id, "Service": found.entry.name}
            return CatalogOperation(
                kind="Service",
                verb="delete-cas",
                node=name,
                entry={**named, "ModifyIndex": found.index},
            )
        case DropNode(found=node):
            return CatalogOperation(
                kind="Node",
                verb="delete-cas",
                entry={"Node": node.name, "ModifyIndex": node.index},
            )


def _explain(client: ConsulClient, failures: Sequence[TxnFailure]) -> NoReturn:
    reasons = " ".join(failure.reason for failure in failures)
    if _UNFENCED in reasons:
        raise ConsulConflictError(
            "the lock of registration was lost: somebody else registers now",
            hint="run it again; nothing that was begun is left half done",
        )
    if any(words in reasons for words in _STALE):
        raise StaleError(f"{client.where} has other entries than a moment ago")
    raise ConsulError(f"{client.where} refuses that: {failures[0].reason}")
