"""The services of one host, registered with the Consul agent of that host, which checks them.

The agent keeps them over its restarts and brings them into the catalogue by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from meshc.consul.errors import ConsulReplyError
from meshc.delivery.register.desired import desired_registration
from meshc.delivery.register.entries import NODE, is_service_of, service_body

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from meshc.consul.client import ConsulClient
    from meshc.delivery.register.entries import NodeEntry, ServiceEntry
    from meshc.delivery.register.host_facts import HostSource

CHECK_INTERVAL_S = 10
_TIMEOUT = "2s"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalChanges:
    """What to do with an agent: definitions to register, ids to take out, why not at all."""

    register: tuple[Mapping[str, Any], ...] = ()
    is_new: frozenset[str] = frozenset()
    deregister: tuple[str, ...] = ()
    unchanged: int = 0
    collisions: tuple[str, ...] = ()


@dataclass(slots=True)
class LocalReport:
    """What was done so far, by id; told of a run that failed too."""

    planned: LocalChanges = field(default_factory=LocalChanges)
    registered: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


def definitions(host: NodeEntry, *, interval: int = CHECK_INTERVAL_S) -> list[dict[str, Any]]:
    """Return what an agent is told about a host: each service with what to check.

    A service passes while its inbound listener accepts connections and its Envoy is ready, which
    one that drains is not.  Between two looks are ``interval`` seconds.
    """
    return [_definition(one, host.admin, interval) for one in host.services]


def _definition(service: ServiceEntry, admin: ServiceEntry, interval: int) -> dict[str, Any]:
    every = {"Interval": _duration(interval), "Timeout": _TIMEOUT}
    checks: list[dict[str, Any]] = [
        {
            "CheckID": f"{service.id}:ready",
            "Name": "Envoy is ready",
            "HTTP": f"http://{_socket(admin)}/ready",
            **every,
        }
    ]
    if service is not admin:
        listener = {
            "CheckID": f"{service.id}:listener",
            "Name": "inbound listener",
            "TCP": _socket(service),
            **every,
        }
        checks.insert(0, listener)
    return {**service_body(service), "Name": service.name, "Checks": checks}


def _duration(seconds: int) -> str:
    """Spell a time as Consul does, because what it shows is compared with this."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _socket(service: ServiceEntry) -> str:
    host = f"[{service.address}]" if ":" in service.address else service.address
    return f"{host}:{service.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentState:
    """What an agent has: services and checks by their ids, in Consul's own field names."""

    services: Mapping[str, Mapping[str, Any]]
    checks: Mapping[str, Mapping[str, Any]]


def plan_local(
    mesh: str,
    node: str,
    wanted: Sequence[Mapping[str, Any]],
    there: AgentState,
    *,
    is_in_mesh: Callable[[str], bool],
    is_again: bool = False,
) -> LocalChanges:
    """Compare what shall be with what an agent has; pure but for ``is_in_mesh``.

    With ``is_again`` what is the same is told anew too: an agent goes on using the token that a
    service was registered with, and does not show it.

    What this mesh registered for another node stays as long as that is in the mesh: several
    Envoys may be on one host.
    """
    register: list[Mapping[str, Any]] = []
    collisions: list[str] = []
    for definition in wanted:
        known = there.services.get(definition["ID"])
        if known is None:
            register.append(definition)
        elif not is_service_of(mesh, known.get("Meta") or {}):
            collisions.append(
                f'the agent has a service "{definition["ID"]}" that is not of this mesh'
            )
        elif is_again or not (
            _is_same(definition, known) and _is_checked(definition, there.checks)
        ):
            register.append(definition)
    ids = {definition["ID"] for definition in wanted}
    gone = [
        service
        for service, known in there.services.items()
        if service not in ids
        and is_service_of(mesh, meta := known.get("Meta") or {})
        and (meta[NODE] == node or not is_in_mesh(meta[NODE]))
    ]
    return LocalChanges(
        register=tuple(register),
        is_new=frozenset(one["ID"] for one in register if one["ID"] not in there.services),
        deregister=tuple(sorted(gone)),
        unchanged=len(wanted) - len(register) - len(collisions),
        collisions=tuple(collisions),
    )


def _is_same(definition: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    told = {
        "ID": known.get("ID"),
        "Name": known.get("Service"),
        "Tags": known.get("Tags") or [],
        "Address": known.get("Address"),
        "Port": known.get("Port"),
        "Meta": known.get("Meta") or {},
        "Weights": known.get("Weights"),
    }
    return all(definition[key] == value for key, value in told.items())


def _is_checked(definition: Mapping[str, Any], checks: Mapping[str, Mapping[str, Any]]) -> bool:
    """Compare checks as far as an agent tells of them: that they are there, and how often.

    What they look at follows from what the version in the metadata is the digest of.
    """
    told = {
        key: (one.get("Interval"), one.get("Timeout"))
        for key, one in checks.items()
        if one.get("ServiceID") == definition["ID"]
    }
    return told == {
        one["CheckID"]: (one["Interval"], one["Timeout"]) for one in definition["Checks"]
    }


def sync_local(
    client: ConsulClient,
    source: HostSource,
    node: str,
    report: LocalReport,
    *,
    admin_service: str,
    interval: int = CHECK_INTERVAL_S,
    is_again: bool = False,
) -> None:
    """Make the agent of this host have exactly what runs on a node.

    Raises:
        UnknownNameError: the mesh has no such node; nothing is changed, it may be a slip.
        BundleError: the source is damaged.
        ConsulError: the rest is not done; the next run does it.
    """
    facts = source.facts(node)
    desired = desired_registration(facts.mesh, facts.instances, admin_service=admin_service)
    wanted = [one for host in desired.nodes for one in definitions(host, interval=interval)]
    report.planned = plan_local(
        facts.mesh, node, wanted, _read(client), is_in_mesh=source.has, is_again=is_again
    )
    _apply(client, report)


def remove_local(client: ConsulClient, mesh: str, node: str, report: LocalReport) -> None:
    """Take out of the agent of this host what a mesh registered for a node.

    Raises:
        ConsulError: the rest is not done; the next run does it.
    """
    report.planned = plan_local(mesh, node, [], _read(client), is_in_mesh=lambda _node: True)
    _apply(client, report)


def _read(client: ConsulClient) -> AgentState:
    services, checks = client.agent_services(), client.agent_checks()
    for one in services.values():
        if not isinstance(one.get("Meta") or {}, dict):
            raise ConsulReplyError(f"{client.where} answers what cannot be read: metadata")
    return AgentState(services=services, checks=checks)


def _apply(client: ConsulClient, report: LocalReport) -> None:
    if report.planned.collisions:
        return
    for definition in report.planned.register:
        client.agent_register(definition)
        report.registered.append(definition["ID"])
    for service in report.planned.deregister:
        client.agent_deregister(service)
        report.removed.append(service)
