"""Which endpoints are used: pure, so that every case can be tried.

The rules, whatever Consul says:

1. Never none: where nothing is left, everything stays.
2. Panic: where fewer hosts pass than the rule wants, all of them are used, because then the
   checks are more likely to be wrong than the hosts, and the few would be overrun.
3. What Consul has not said changes nothing: the last known endpoints stay.
4. Of a service of the mesh only compiled endpoints are used, so Consul can take hosts away and
   never bring one in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meshc.delivery.agent.health.assignment import Address, Assignment
from meshc.delivery.agent.health.instances import ip_text, why_unusable
from meshc.delivery.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from meshc.artifact.health import HealthRule
    from meshc.delivery.agent.health.instances import Instance, Limits

_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is used of a dependency's endpoints, and why.

    Attributes:
        rule: The rule that was followed.
        data: The endpoint file.
        known: How many endpoints there are: compiled ones, or instances that could be used.
        passing: How many of them pass in Consul; None where that is not known.
        used: How many are in the file.
        is_panic: All are used because too few pass.
        left_out: Those that are not used, as far as a reader needs them.
        refused: Instances that are not believed, each with the reason.
    """

    rule: HealthRule
    data: bytes
    known: int
    passing: int | None
    used: int
    is_panic: bool = False
    left_out: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


def choose(
    rule: HealthRule,
    compiled: bytes,
    instances: Sequence[Instance] | None,
    before: bytes | None,
    limits: Limits,
) -> Choice:
    """Choose among the endpoints of a dependency.

    Args:
        rule: The caller's wish.
        compiled: The endpoint file of the build.
        instances: What Consul said last; None where it has said nothing so far.
        before: The endpoint file that was used until now.
        limits: What no answer may do.

    Raises:
        DeliveryError: the compiled file is damaged.
    """
    if rule.is_only_in_consul:
        return _from_consul(rule, compiled, instances, before, limits)
    return _compiled(rule, compiled, instances, before)


def _compiled(
    rule: HealthRule,
    compiled: bytes,
    instances: Sequence[Instance] | None,
    before: bytes | None,
) -> Choice:
    whole = Assignment.parse(rule.endpoints_path, compiled)
    known = whole.addresses()
    if instances is None:
        # With nothing before, that is all of them.
        earlier = set(known) if before is None else _addresses(rule, before)
        good = [one for one in known if one in earlier]
        passing = None
    else:
        names = dict(whole.endpoints())
        well = _well(rule, instances)
        good = [one for one in known if one in well.addresses or names[one] in well.nodes]
        passing = len(good)
    kept, is_panic = _enough(rule, good, known)
    data = compiled if len(kept) == len(known) else whole.only(set(kept)).emit()
    return Choice(
        rule=rule,
        data=data,
        known=len(known),
        passing=passing,
        used=len(kept),
        is_panic=is_panic and passing is not None,
        left_out=_shown(known, kept, dict(whole.endpoints())),
    )


@dataclass(frozen=True, slots=True)
class _Well:
    """Where passing instances are; by name where the address in Consul tells nothing."""

    addresses: frozenset[Address]
    nodes: frozenset[str]


def _well(rule: HealthRule, instances: Sequence[Instance]) -> _Well:
    ours = [one for one in instances if one.is_passing and one.mesh in {"", rule.mesh}]
    return _Well(
        frozenset(one.address for one in ours if one.address is not None),
        frozenset(one.node for one in ours if one.address is None and one.node),
    )


def _enough(
    rule: HealthRule, good: Sequence[Address], known: Sequence[Address]
) -> tuple[Sequence[Address], bool]:
    """Return what is used, and whether that is everything because too little is good."""
    if known and (not good or len(good) * 100 < rule.panic_threshold * len(known)):
        return known, True
    return good, False


def _from_consul(
    rule: HealthRule,
    compiled: bytes,
    instances: Sequence[Instance] | None,
    before: bytes | None,
    limits: Limits,
) -> Choice:
    name = Assignment.parse(rule.endpoints_path, compiled).name
    usable: dict[Address, Instance] = {}
    refused: list[str] = []
    for one in instances or ():
        if not one.tags.issuperset(rule.tags):
            continue
        reason = why_unusable(one.address, limits)
        if reason or one.address is None:
            refused.append(f"{one.told} ({reason})")
        elif one.address not in usable or one.is_passing:
            usable[one.address] = one
    if not usable:
        is_known = before is not None and is_ours(rule, before, compiled, limits)
        data = before if before is not None and is_known else compiled
        used = len(_addresses(rule, data))
        return Choice(
            rule=rule,
            data=data,
            known=used,
            passing=None,
            used=used,
            refused=tuple(refused[:_SHOWN]),
        )
    known = sorted(usable)
    good = [address for address in known if usable[address].is_passing]
    kept, is_panic = _enough(rule, good, known)
    return Choice(
        rule=rule,
        data=Assignment.of(name, [_endpoint(usable[one]) for one in kept]).emit(),
        known=len(known),
        passing=len(good),
        used=len(kept),
        is_panic=is_panic,
        left_out=_shown(known, kept, {one: usable[one].host for one in known}),
        refused=tuple(refused[:_SHOWN]),
    )


def _endpoint(instance: Instance) -> dict[str, Any]:
    """Write an endpoint as a build writes one."""
    address = instance.address
    if address is None:  # nobody chose it
        raise AssertionError(instance)
    socket = {"socket_address": {"address": address.host, "port_value": address.port}}
    named = {"hostname": instance.host} if instance.host else {}
    weight = {"load_balancing_weight": instance.weight} if instance.weight > 1 else {}
    return {"endpoint": {"address": socket, **named}, **weight}


def is_ours(rule: HealthRule, data: bytes, compiled: bytes, limits: Limits) -> bool:
    """Whether a file can be a choice by this rule, and not the work of somebody's hand."""
    path = rule.endpoints_path
    try:
        whole, found = Assignment.parse(path, compiled), Assignment.parse(path, data)
        if data == compiled:
            return True
        if not rule.is_only_in_consul:
            kept = set(found.addresses())
            return bool(kept) and data == whole.only(kept).emit()
        is_whole = found.name == whole.name and found.emit() == data
    except DeliveryError:
        return False
    return is_whole and not any(
        ip_text(address.host) != address.host or why_unusable(address, limits)
        for address in found.addresses()
    )


def _addresses(rule: HealthRule, data: bytes) -> Collection[Address]:
    try:
        return set(Assignment.parse(rule.endpoints_path, data).addresses())
    except DeliveryError:
        return set()


def _shown(
    known: Sequence[Address], kept: Sequence[Address], names: Mapping[Address, str]
) -> tuple[str, ...]:
    used = set(kept)
    left = [one for one in known if one not in used][:_SHOWN]
    return tuple(f"{one} ({names[one]})" if names[one] else str(one) for one in left)
