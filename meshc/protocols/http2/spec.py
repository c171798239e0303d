"""HTTP/2 without TLS as specs see it."""

from meshc.spec.slices import Capability, ProtocolSpec

SPEC = ProtocolSpec(
    keyword="HTTP2",
    summary="HTTP/2 from end to end, with prior knowledge",
    provides=frozenset({Capability.HTTP_ROUTES, Capability.METHODS}),
)
