"""The only list of slices: two ordered tuples. The position in POLICIES is the order of edits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshc.compile.interfaces import CompileContext, PolicySlice, ProtocolSlice
from meshc.policies.circuit_breakers import envoy as circuit_breakers
from meshc.policies.health_checks import envoy as health_checks
from meshc.policies.inbound import envoy as inbound
from meshc.policies.load_balancing import envoy as load_balancing
from meshc.policies.outlier_detection import envoy as outlier_detection
from meshc.policies.retries import envoy as retries
from meshc.policies.timeouts import envoy as timeouts
from meshc.protocols.grpc.envoy import GrpcCompiler
from meshc.protocols.http.envoy import HttpCompiler
from meshc.protocols.http2.envoy import Http2Compiler
from meshc.protocols.tcp.envoy import TcpCompiler
from meshc.spec.policies import POLICY_SPECS
from meshc.spec.schema import PROTOCOL_SPECS

if TYPE_CHECKING:
    from meshc.spec.schema import MeshSpec

PROTOCOLS: tuple[ProtocolSlice, ...] = (
    ProtocolSlice(spec=PROTOCOL_SPECS["HTTP"], compiler=HttpCompiler()),
    ProtocolSlice(spec=PROTOCOL_SPECS["HTTP2"], compiler=Http2Compiler()),
    ProtocolSlice(spec=PROTOCOL_SPECS["GRPC"], compiler=GrpcCompiler()),
    ProtocolSlice(spec=PROTOCOL_SPECS["TCP"], compiler=TcpCompiler()),
)

POLICIES: tuple[PolicySlice, ...] = (
    PolicySlice(spec=POLICY_SPECS["timeouts"], edits=timeouts.EDITS),
    PolicySlice(spec=POLICY_SPECS["retries"], edits=retries.EDITS),
    PolicySlice(spec=POLICY_SPECS["circuitBreakers"], edits=circuit_breakers.EDITS),
    PolicySlice(spec=POLICY_SPECS["loadBalancing"], edits=load_balancing.EDITS),
    PolicySlice(spec=POLICY_SPECS["outlierDetection"], edits=outlier_detection.EDITS),
    PolicySlice(spec=POLICY_SPECS["healthChecks"], edits=health_checks.EDITS),
    PolicySlice(spec=POLICY_SPECS["inbound"], edits=inbound.EDITS),
)


def compile_context(settings: MeshSpec) -> CompileContext:
    """Give the compiler the mesh's settings and all slices."""
    return CompileContext(
        settings=settings,
        protocols={protocol.spec.keyword: protocol for protocol in PROTOCOLS},
        policies={policy.spec.key: policy for policy in POLICIES},
    )
