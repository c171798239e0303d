"""gRPC as specs see it."""

from meshc.spec.slices import Capability, ProtocolSpec

SPEC = ProtocolSpec(
    keyword="GRPC",
    summary="gRPC: HTTP/2 from end to end, with gRPC's own metrics and deadlines",
    provides=frozenset({Capability.HTTP_ROUTES, Capability.GRPC_CALLS}),
    # A streaming call may last and be silent for days, and every call carries its own deadline
    # (grpc-timeout), so that fixed limits for all calls would only do harm.  Peers that are gone
    # are found by pings.
    policy_defaults={"timeouts": {"request": "0s", "idle": "0s"}},
)
