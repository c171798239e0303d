"""What registration found and did, for people and for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshc.cli.safe import plain
from meshc.delivery.register.reconcile import DropNode, DropService, PutNode, PutService

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from meshc.delivery.register.entries import ServiceEntry
    from meshc.delivery.register.reconcile import Changes, HostChange, Step

_SHOWN_HOSTS = 40
_SIGNS = {"add": "+", "change": "~", "remove": "-"}
_FIELDS = ("name", "address", "port", "tags", "weight")


def change_lines(hosts: Sequence[HostChange], *, is_full: bool) -> Iterator[str]:
    """Yield a line for each host, and for one that changes a line for each difference."""
    shown = hosts if is_full else hosts[:_SHOWN_HOSTS]
    width = max((len(host.node) for host in shown), default=0)
    for host in shown:
        sign = _SIGNS[host.action]
        if host.action == "change":
            yield f"{sign} {plain(host.node)}"
            yield from (f"    {line}" for line in _differences(host))
        else:
            yield f"{sign} {plain(host.node):{width}}  {_listed(_services(host))}"
    if len(hosts) > len(shown):
        yield f"  … and {len(hosts) - len(shown):,} more hosts; -v shows them"


def _services(host: HostChange) -> Iterator[ServiceEntry]:
    if host.after is not None:
        yield from host.after.services
    elif host.before is not None:
        yield from (found.entry for _, found in sorted(host.before.services.items()))


def _listed(services: Iterable[ServiceEntry]) -> str:
    return ", ".join(f"{plain(one.name)} {_socket(one)}" for one in services)


def _socket(service: ServiceEntry) -> str:
    host = f"[{service.address}]" if ":" in service.address else service.address
    return f"{plain(host)}:{service.port}"


def _differences(host: HostChange) -> Iterator[str]:
    for step in host.steps:
        match step:
            case PutNode(entry=node):
                before = host.before
                if before is not None:
                    old = {"name": before.name, "address": before.address, **_told(before.meta)}
                    new = {"name": node.name, "address": node.address, **_told(node.meta)}
                    yield f"~ node {_compared(old, new)}"
            case PutService(entry=service):
                known = None if host.before is None else host.before.services.get(service.id)
                if known is None:
                    yield f"+ {_listed([service])}"
                else:
                    old, new = _facts(known.entry), _facts(service)
                    yield f"~ {plain(service.name)} {_compared(old, new)}"
            case DropService(found=found):
                yield f"- {_listed([found.entry])}"
            case DropNode():
                yield "- node"


def _facts(service: ServiceEntry) -> dict[str, Any]:
    return {name: getattr(service, name) for name in _FIELDS} | _told(service.meta)


def _told(meta: Mapping[str, str]) -> dict[str, Any]:
    return {f"meta.{key}": value for key, value in meta.items()}


def _compared(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    return ", ".join(f"{plain(key)}: {_value(old, key)} → {_value(new, key)}" for key in keys)


def _value(facts: Mapping[str, Any], key: str) -> str:
    value = facts.get(key)
    if value is None:
        return "nothing"
    return plain(",".join(value) if isinstance(value, tuple) else str(value))


def remarks(changes: Changes, notes: Iterable[str]) -> Iterator[str]:
    """Yield what somebody should know beside the changes."""
    for text in (*notes, *changes.notes):
        yield plain(text)
    if changes.local:
        shown = _some(changes.local)
        yield f"{len(changes.local):,} hosts are registered by agents of their own: {shown}"
    if changes.strays:
        shown = _some(changes.strays)
        yield (
            f"registered by agents of their own, and no longer in the mesh: {shown}; "
            "there: meshc consul register-local NODE --remove --mesh MESH"
        )


def _some(hosts: Mapping[str, str]) -> str:
    listed = [f"{plain(node)} (on {plain(where)})" for node, where in sorted(hosts.items())]
    return ", ".join(listed[:3]) + (", …" if len(listed) > 3 else "")  # noqa: PLR2004


def tally(hosts: Iterable[HostChange], unchanged: int, verbs: tuple[str, str, str]) -> str:
    """Count hosts by what becomes of them, in the words for adding, changing and removing."""
    counts = dict.fromkeys(_SIGNS, 0)
    for host in hosts:
        counts[host.action] += 1
    words = [f"{counts[action]:,} {verb}" for action, verb in zip(_SIGNS, verbs, strict=True)]
    return f"{', '.join(words)}, {unchanged:,} unchanged"


def changes_data(hosts: Iterable[HostChange]) -> list[dict[str, Any]]:
    """Return hosts as JSON."""
    return [
        {
            "action": host.action,
            "node": host.node,
            "name": host.name,
            "steps": [_step_data(step) for step in host.steps],
        }
        for host in hosts
    ]


def _step_data(step: Step) -> dict[str, Any]:
    match step:
        case PutNode(entry=node):
            return {
                "put": "node",
                "name": node.name,
                "address": node.address,
                "meta": dict(node.meta),
            }
        case PutService(entry=service):
            return {"put": "service", **_service_data(service)}
        case DropService(found=found):
            return {"remove": "service", "id": found.entry.id, "name": found.entry.name}
        case DropNode(found=node):
            return {"remove": "node", "name": node.name}


def _service_data(service: ServiceEntry) -> dict[str, Any]:
    return {
        "id": service.id,
        "name": service.name,
        "address": service.address,
        "port": service.port,
        "tags": list(service.tags),
        "meta": dict(service.meta),
        "weight": service.weight,
    }
