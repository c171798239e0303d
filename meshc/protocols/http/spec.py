"""HTTP/1.1 as specs see it."""

from meshc.spec.slices import Capability, ProtocolSpec

SPEC = ProtocolSpec(
    keyword="HTTP",
    summary="HTTP/1.1 to the application; callers may speak HTTP/1.1 or HTTP/2",
    provides=frozenset({Capability.HTTP_ROUTES, Capability.METHODS, Capability.UPGRADES}),
)
