"""What gRPC's own xDS clients cannot do: reported for a node that is one, and has no Envoy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshc.plan.match import layer_origin, merged
from meshc.spec.policies import POLICY_SPECS
from meshc.spec.schema import PROTOCOL_SPECS
from meshc.spec.slices import Capability

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshc.diagnostics import DiagnosticSink
    from meshc.model.mesh import Mesh, Node, Upstream

_POLICY = "loadBalancing"
REFUSED_BY: Mapping[str, str] = {
    "leastRequest": "grpc-js and gRPC for C++, Python, Ruby and PHP refuse",
    "random": "gRPC's own xDS clients refuse",
    "maglev": "gRPC's own xDS clients refuse",
}
"""Way of choosing a host → who refuses the cluster because of it.  Tried with grpcio 1.85 (C++);
grpc-go and grpc-java take least request besides, says gRPC's feature table (xDS, A48)."""


def check_grpc_client(mesh: Mesh, node: Node, sink: DiagnosticSink) -> None:
    """Report what the dependencies of a node have that such a client refuses."""
    for instance in node.instances:
        for upstream in mesh.services[instance.service].upstreams:
            _check(mesh, upstream, sink)


def _check(mesh: Mesh, upstream: Upstream, sink: DiagnosticSink) -> None:
    target = mesh.services[upstream.service]
    if Capability.HTTP_ROUTES not in PROTOCOL_SPECS[target.protocol].provides:
        return
    chosen, layer = merged(POLICY_SPECS[_POLICY], mesh, target, upstream.overrides)["policy"]
    refused = REFUSED_BY.get(str(chosen))
    if refused is None:
        return
    place = layer_origin(layer, mesh, target, upstream)
    sink.report(
        "MC505",
        f'{refused} loadBalancing.policy "{chosen}", so each of their calls of "{target.name}" '
        "fails",
        at=None if place is None else place.at(_POLICY, "policy").span,
        hint="roundRobin and ringHash are understood by all of gRPC's own clients",
    )
