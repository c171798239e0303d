"""Plain TCP as specs see it."""

from meshc.spec.slices import Capability, ProtocolSpec

SPEC = ProtocolSpec(
    keyword="TCP",
    summary="bytes, for databases, queues and everything else",
    provides=frozenset({Capability.BYTE_STREAMS}),
    # Pools of database connections rest for long; an hour is Envoy's own choice for TCP.
    policy_defaults={"timeouts": {"idle": "1h"}},
)
