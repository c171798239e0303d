"""Why a resource is on a node: the spec lines behind it, and where each of its settings is from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshc.compile import names
from meshc.compile.bootstrap import bootstrap_resource
from meshc.compile.emit import emit_bootstrap
from meshc.diagnostics import DiagnosticSink
from meshc.diagnostics.errors import UnknownNameError
from meshc.pipeline import ENVOY_SCHEMA, BuildResult, read_mesh
from meshc.plan.grpc_clients import check_grpc_client
from meshc.plan.match import Layer, layer_origin, merged
from meshc.plan.node import plan_node
from meshc.plan.service import SharedPlans
from meshc.plan.types import Direction
from meshc.registry import compile_context
from meshc.spec.policies import POLICY_SPECS
from meshc.spec.schema import PROTOCOL_SPECS
from meshc.spec.slices import CLUSTER_SCOPES, LISTENER_SCOPES, ROUTE_SCOPES, Scope, Side
from meshc.validate.constraints import SchemaCheck

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from meshc.diagnostics import Span
    from meshc.model.mesh import Mesh, Node, Upstream
    from meshc.plan.types import ChainPlan, ClusterPlan, EndpointsPlan, ListenerPlan, NodePlan
    from meshc.spec.places import SpecSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One policy field that shapes a resource: its value, who said so, and where."""

    name: str
    value: str
    layer: str
    span: Span | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One resource of a node: what it is for, the place that caused it, what else shaped it."""

    kind: str
    name: str
    reason: str
    span: Span
    places: tuple[tuple[str, Span], ...] = ()
    settings: tuple[Setting, ...] = ()


def explain_node(
    specs: Path | SpecSource, node: str, resource: str | None
) -> tuple[BuildResult, tuple[Explanation, ...]]:
    """Explain all resources of a node, or those of one name.

    Where the specs have errors there are only diagnostics.  Raises UnknownNameError for a
    node or resource that does not exist, with the nearest name as hint.
    """
    sink = DiagnosticSink()
    mesh, sources = read_mesh(specs, sink)
    result = BuildResult(diagnostics=sink.sorted(), sources=sources, has_errors=sink.has_errors)
    if sink.has_errors:
        return result, ()
    plan = plan_node(_node(mesh, node), SharedPlans(mesh))
    found = tuple(_explanations(mesh, plan))
    if resource is None:
        return result, found
    chosen = tuple(entry for entry in found if entry.name == resource)
    if not chosen:
        raise UnknownNameError(
            f"resource on node {node}", resource, {entry.name for entry in found}
        )
    return result, chosen


def bootstrap_of(
    specs: Path | SpecSource, node: str, *, is_grpc_client: bool = False
) -> tuple[BuildResult, str]:
    """Return the bootstrap of one node as JSON text, checked against Envoy's schema.

    For one of gRPC's own clients, what such a client refuses is reported too.
    """
    sink = DiagnosticSink()
    mesh, sources = read_mesh(specs, sink)
    text = ""
    if not sink.has_errors:
        resource = bootstrap_resource(_node(mesh, node), compile_context(mesh.settings))
        SchemaCheck(ENVOY_SCHEMA, _Nothing(), sink).check(resource)
        if is_grpc_client:
            check_grpc_client(mesh, _node(mesh, node), sink)
        text = emit_bootstrap(resource).decode()
    return (
        BuildResult(diagnostics=sink.sorted(), sources=sources, has_errors=sink.has_errors),
        text,
    )


class _Nothing:
    """Knows no digests."""

    def __contains__(self, digest: str) -> bool:
        return False

    def add(self, digest: str) -> None:
        """Forget it at once."""

    def save(self) -> None:
        """Keep nothing."""


def _node(mesh: Mesh, name: str) -> Node:
    for node in mesh.nodes.values():
        if node.id == name:
            return node
    raise UnknownNameError("node", name, mesh.nodes)


def _explanations(mesh: Mesh, plan: NodePlan) -> Iterator[Explanation]:
    """Explain everything that the node's Envoy gets, in the order in which a request meets it."""
    for listener in plan.listeners:
        yield _listener(mesh, listener)
    seen: set[str] = set()
    for listener in plan.listeners:
        name = names.chain_name(listener.chain)
        if listener.chain.has_routes and name not in seen:
            seen.add(name)
            yield _routes(mesh, listener.chain)
    for cluster in plan.clusters:
        yield _cluster(mesh, cluster)
    yield from _collector(mesh, plan)
    explained: set[str] = set()
    for cluster in plan.clusters:
        if cluster.endpoints is not None:
            name = names.endpoints_name(cluster.endpoints)
            if name not in explained:
                explained.add(name)
                yield _endpoints(name, cluster.endpoints)


def _endpoints(name: str, plan: EndpointsPlan) -> Explanation:
    reason = f"the hosts of {plan.service}"
    if plan.health is not None:
        whole = (
            f"all of them where fewer than {plan.health.panic_threshold} % do"
            if plan.health.panic_threshold
            else "all of them where none does"
        )
        if plan.health.is_only_in_consul:
            tags = f" with {', '.join(plan.health.tags)}" if plan.health.tags else ""
            reason = f"the hosts that Consul knows as {plan.service}{tags}"
        reason += f", for {plan.consumer}: those that pass in Consul, {whole}"
    return Explanation(
        kind="endpoints",
        name=name,
        reason=reason,
        span=plan.origin.span,
        places=tuple(
            (f"{host.name} at {host.address}", host.origin.span) for host in plan.endpoints
        ),
    )


def _collector(mesh: Mesh, plan: NodePlan) -> Iterator[Explanation]:
    """Explain the cluster that takes the node's spans, where there is one."""
    tracing, origin = mesh.settings.tracing, mesh.settings_origin
    if tracing is None or origin is None:
        return
    if not any(listener.chain.has_routes for listener in plan.listeners):
        return
    kind, key = ("zipkin", "zipkin") if tracing.zipkin else ("opentelemetry", "openTelemetry")
    yield Explanation(
        kind="cluster",
        name=names.tracing_cluster_name(kind),
        reason="the collector that takes the spans of every request",
        span=origin.at("tracing", key).key_span,
    )


def _listener(mesh: Mesh, plan: ListenerPlan) -> Explanation:
    if plan.direction is Direction.INBOUND:
        reason = f"accepts traffic for {plan.service} at {plan.bind}"
    else:
        reason = f"takes the calls of {plan.consumer} to {plan.service} at {plan.bind}"
    scopes = LISTENER_SCOPES - {Scope.PROXY} if plan.chain.has_routes else LISTENER_SCOPES
    return Explanation(
        kind="listener",
        name=names.listener_name(plan),
        reason=reason,
        span=plan.origin.span,
        settings=_settings(mesh, plan.chain, scopes),
    )


def _routes(mesh: Mesh, chain: ChainPlan) -> Explanation:
    where = "the application" if chain.direction is Direction.INBOUND else "its hosts"
    return Explanation(
        kind="routes",
        name=names.chain_name(chain),
        reason=f"sends every request for {chain.service} to {where}",
        span=chain.origin.span,
        settings=_settings(mesh, chain, ROUTE_SCOPES),
    )


def _cluster(mesh: Mesh, plan: ClusterPlan) -> Explanation:
    if plan.local is not None:
        reason = f"the application of {plan.service} at {plan.local}"
    else:
        callers = plan.consumer or "all callers on this node"
        reason = f"the hosts of {plan.service}, for {callers}"
    return Explanation(
        kind="cluster",
        name=names.cluster_name(plan),
        reason=reason,
        span=plan.origin.span,
        settings=_with_connect(mesh, _settings(mesh, plan, CLUSTER_SCOPES)),
    )


def _with_connect(mesh: Mesh, found: tuple[Setting, ...]) -> tuple[Setting, ...]:
    """Put before the policies of a cluster how long a connection may take, if none of them says."""
    if any(setting.name == "timeouts.connect" for setting in found):
        return found
    settings, origin = mesh.settings, mesh.settings_origin
    is_written = origin is not None and "connect_timeout" in settings.model_fields_set
    general = Setting(
        name="connectTimeout",
        value=str(settings.connect_timeout),
        layer="mesh.yaml" if is_written else Layer.BUILT_IN.value,
        span=origin.at("connectTimeout").key_span if origin and is_written else None,
    )
    return (general, *found)


def _settings(
    mesh: Mesh, plan: ChainPlan | ClusterPlan, scopes: frozenset[Scope]
) -> tuple[Setting, ...]:
    """List the policy fields that shape a resource, each with the layer that had the last word."""
    side = Side.CALLED if plan.direction is Direction.INBOUND else Side.CALLER
    service = mesh.services[plan.service]
    caller = _upstream(mesh, plan)
    found: list[Setting] = []
    for policy in POLICY_SPECS.values():
        if policy.side is not side or not policy.needs <= PROTOCOL_SPECS[service.protocol].provides:
            continue
        overrides = None if caller is None else caller.overrides
        for name, (value, layer) in sorted(merged(policy, mesh, service, overrides).items()):
            if scopes & policy.scopes[name] and value is not None:
                alias = policy.model.model_fields[name].alias or name
                place = layer_origin(layer, mesh, service, caller)
                found.append(
                    Setting(
                        name=f"{policy.key}.{alias}",
                        value=_shown(value),
                        layer=layer.value,
                        span=None if place is None else place.at(policy.key, alias).key_span,
                    )
                )
    return tuple(found)


def _upstream(mesh: Mesh, plan: ChainPlan | ClusterPlan) -> Upstream | None:
    if plan.consumer is None:
        return None
    upstreams = mesh.services[plan.consumer].upstreams
    return next(upstream for upstream in upstreams if upstream.service == plan.service)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(str(item) for item in value)
    if hasattr(value, "model_dump"):
        return ", ".join(
            f"{key}: {item}"
            for key, item in value.model_dump(by_alias=True).items()
            if item is not None
        )
    return str(value)
