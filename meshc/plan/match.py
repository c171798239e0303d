"""Which policy value binds where: precedence, merging, and what a protocol cannot have."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from meshc.plan.types import PolicyBinding
from meshc.spec.policies import POLICY_SPECS, PoliciesSpec
from meshc.spec.schema import PROTOCOL_SPECS
from meshc.spec.slices import Side

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from meshc.diagnostics import DiagnosticSink
    from meshc.model.mesh import Mesh, Service, Upstream
    from meshc.spec.fields import SpecModel
    from meshc.spec.origin import Origin
    from meshc.spec.slices import Capability, PolicySpec, Scope

_FIELDS = {info.alias or name: name for name, info in PoliciesSpec.model_fields.items()}
"""Policy key → attribute of PoliciesSpec."""


class Layer(enum.Enum):
    """Who may say something about a policy, in rising order."""

    BUILT_IN = "default of meshc"
    PROTOCOL = "default of the protocol"
    MESH = "defaults of the mesh"
    SERVICE = "the called service"
    CALLER = "the caller's dependency"


def bind_policies(
    mesh: Mesh, service: Service, overrides: PoliciesSpec | None, side: Side
) -> tuple[PolicyBinding, ...]:
    """Merge each policy of one side field by field for calls to ``service``.

    Rising order: the policy's own defaults, what the protocol sets differently, `defaults` of
    mesh.yaml, the called service, the caller's entry for it.  Fields that the protocol has no
    use for are dropped, so a mesh-wide default never gets in the way.
    """
    protocol = PROTOCOL_SPECS[service.protocol]
    bound: list[PolicyBinding] = []
    for policy in POLICY_SPECS.values():
        if policy.side is side and policy.needs <= protocol.provides:
            values = {
                name: value for name, (value, _) in merged(policy, mesh, service, overrides).items()
            }
            bound.append(
                PolicyBinding(key=policy.key, value=policy.model.model_construct(None, **values))
            )
    return tuple(bound)


def merged(
    policy: PolicySpec, mesh: Mesh, service: Service, overrides: PoliciesSpec | None
) -> dict[str, tuple[object, Layer]]:
    """Return the value that holds for each field of a policy, and who had the last word."""
    found: dict[str, tuple[object, Layer]] = {}
    for layer, given in policy_layers(policy, mesh, service, overrides):
        found.update({name: (value, layer) for name, value in given.items()})
    values = {name: value for name, (value, _) in found.items()}
    for name, value in policy.derive(policy.model.model_construct(None, **values)).items():
        if values.get(name) is None:
            found[name] = (value, Layer.BUILT_IN)
    return found


def policy_layers(
    policy: PolicySpec, mesh: Mesh, service: Service, overrides: PoliciesSpec | None
) -> Iterator[tuple[Layer, dict[str, object]]]:
    """Yield what each layer says about a policy's fields, the last one wins."""
    provides = PROTOCOL_SPECS[service.protocol].provides

    def usable(values: Mapping[str, object]) -> dict[str, object]:
        return {
            name: value
            for name, value in values.items()
            if name not in policy.field_needs or policy.field_needs[name] in provides
        }

    yield Layer.BUILT_IN, usable(dict(policy.defaults))
    yield Layer.PROTOCOL, usable(_from_protocol(policy, service.protocol))
    for layer, source in (
        (Layer.MESH, mesh.settings.defaults),
        (Layer.SERVICE, service.policies),
        (Layer.CALLER, overrides),
    ):
        written = _written(policy, source)
        if written is not None:
            yield layer, usable(_given(written))


def _from_protocol(policy: PolicySpec, keyword: str) -> dict[str, object]:
    given = PROTOCOL_SPECS[keyword].policy_defaults.get(policy.key)
    if given is None:
        return {}
    value = policy.model.model_validate(given)
    return _given(value)


def _given(written: SpecModel) -> dict[str, object]:
    """Return the fields that somebody wrote; a key without a value says nothing."""
    values = ((name, getattr(written, name)) for name in sorted(written.model_fields_set))
    return {name: value for name, value in values if value is not None}


def _written(policy: PolicySpec, source: PoliciesSpec | None) -> SpecModel | None:
    if source is None:
        return None
    value: SpecModel | None = getattr(source, _FIELDS[policy.key])
    return value


def overridden_scopes(service: Service, overrides: PoliciesSpec) -> frozenset[Scope]:
    """Which kinds of message a caller's entry changes, so that it needs its own copy of them.

    What the called service's protocol has no use for changes nothing.
    """
    protocol = PROTOCOL_SPECS[service.protocol]
    scopes: set[Scope] = set()
    for policy in POLICY_SPECS.values():
        written = _written(policy, overrides)
        if written is None or policy.side is Side.CALLED or not policy.needs <= protocol.provides:
            continue
        for name in _given(written):
            if name not in policy.field_needs or policy.field_needs[name] in protocol.provides:
                scopes |= policy.scopes[name]
    return frozenset(scopes)


def check_policies(mesh: Mesh, sink: DiagnosticSink) -> None:
    """Report policies that a protocol cannot have, and parts of `mesh.yaml` that nothing uses."""
    called = set()
    for service in mesh.services.values():
        _check_capabilities(service, service.policies, service.origin, sink)
        _check_values(mesh, service, None, sink)
        # Hosts of both kinds are one mistake, MC311, and not two.
        if service.external_hosts and not service.instances:
            _refuse_called_side(
                service.policies,
                service.origin,
                f'"{service.name}" is outside the mesh: there is no Envoy of ours on its hosts',
                "remove it",
                sink,
            )
        for upstream in service.upstreams:
            target = mesh.services.get(upstream.service)
            if target is not None:
                called.add(target.protocol)
                _check_capabilities(target, upstream.overrides, upstream.origin, sink)
                _refuse_called_side(
                    upstream.overrides,
                    upstream.origin,
                    f'the Envoys of "{target.name}" follow it, and a caller has no say in that',
                    f'write it in the document of "{target.name}", or in defaults of mesh.yaml',
                    sink,
                )
                _check_values(mesh, target, upstream, sink)
    if not sink.has_errors:  # whoever would use a setting may be what is wrong
        _check_unused(mesh, called, sink)


def _check_capabilities(
    service: Service, policies: PoliciesSpec, origin: Origin, sink: DiagnosticSink
) -> None:
    if policies.model_fields_set.isdisjoint(_FIELDS.values()):
        return
    provided = PROTOCOL_SPECS[service.protocol].provides
    for _, place, needs in _needs(policies, origin):
        missing = needs - provided
        if missing:
            sink.report(
                "MC501",
                f'"{place.path[-1]}" needs {min(need.value for need in missing)}, but service '
                f'"{service.name}" speaks {service.protocol}',
                at=place.key_span,
                hint=f'remove it; "{place.path[-1]}" is for '
                + " and ".join(
                    keyword
                    for keyword, protocol in PROTOCOL_SPECS.items()
                    if needs <= protocol.provides
                ),
            )


def _refuse_called_side(
    policies: PoliciesSpec, origin: Origin, reason: str, hint: str, sink: DiagnosticSink
) -> None:
    for policy in POLICY_SPECS.values():
        if policy.side is Side.CALLED and _written(policy, policies) is not None:
            place = origin.at(policy.key)
            sink.report(
                "MC503",
                f'"{policy.key}" cannot stand here: {reason}',
                at=place.key_span,
                hint=hint,
            )


def _check_values(
    mesh: Mesh, service: Service, caller: Upstream | None, sink: DiagnosticSink
) -> None:
    """Let each policy judge its merged value, wherever somebody has written a part of it."""
    provides = PROTOCOL_SPECS[service.protocol].provides
    written_by: tuple[PoliciesSpec, ...] = (mesh.settings.defaults, service.policies)
    if caller is not None:
        written_by = (caller.overrides,)
    for policy in POLICY_SPECS.values():
        if not policy.needs <= provides or all(_written(policy, by) is None for by in written_by):
            continue
        overrides = None if caller is None else caller.overrides
        found = merged(policy, mesh, service, overrides)
        values = {name: value for name, (value, _) in found.items()}
        problem = policy.check(policy.model.model_construct(None, **values), provides)
        if problem is None:
            continue
        _, layer = found[problem.field]
        if problem.is_fine_in_defaults and layer is Layer.MESH:
            continue
        place = layer_origin(layer, mesh, service, caller)
        alias = policy.model.model_fields[problem.field].alias or problem.field
        sink.report(
            problem.code,
            problem.message,
            at=None if place is None else place.at(policy.key, alias).span,
            hint=problem.hint,
        )


def layer_origin(
    layer: Layer, mesh: Mesh, service: Service, caller: Upstream | None
) -> Origin | None:
    """Return the place whose policies a layer means, None for what no document says."""
    match layer:
        case Layer.MESH:
            return None if mesh.settings_origin is None else mesh.settings_origin.at("defaults")
        case Layer.SERVICE:
            return service.origin
        case Layer.CALLER:
            return None if caller is None else caller.origin
        case Layer.BUILT_IN | Layer.PROTOCOL:
            return None


def _needs(
    policies: PoliciesSpec, origin: Origin
) -> Iterator[tuple[PolicySpec, Origin, frozenset[Capability]]]:
    for policy in POLICY_SPECS.values():
        written = _written(policy, policies)
        if written is None:
            continue
        place = origin.at(policy.key)
        if policy.needs:
            yield policy, place, policy.needs
        for name in sorted(_given(written).keys() & policy.field_needs.keys()):
            alias = type(written).model_fields[name].alias or name
            yield policy, place.at(alias), frozenset({policy.field_needs[name]})


def _check_unused(mesh: Mesh, called: Iterable[str], sink: DiagnosticSink) -> None:
    if mesh.settings_origin is None or not mesh.services:
        return
    users = {
        Side.CALLER: ("no dependency of this mesh can use it", called),
        Side.CALLED: (
            "no service of this mesh can use it",
            [service.protocol for service in mesh.services.values() if service.instances],
        ),
    }
    defaults = mesh.settings_origin.at("defaults")
    for policy, place, needs in _needs(mesh.settings.defaults, defaults):
        reason, keywords = users[policy.side]
        if not any(needs <= PROTOCOL_SPECS[keyword].provides for keyword in keywords):
            _report_unused(place, reason, sink)
    if mesh.settings.tracing is not None and not any(
        PROTOCOL_SPECS[service.protocol].has_requests for service in mesh.services.values()
    ):
        _report_unused(
            mesh.settings_origin.at("tracing"), "no service of this mesh has requests", sink
        )


def _report_unused(place: Origin, reason: str, sink: DiagnosticSink) -> None:
    sink.report(
        "MC314",
        f'"{place.path[-1]}" in the mesh settings has no effect: {reason}',
        at=place.key_span,
        hint="remove it, or wait for the service that needs it",
    )
