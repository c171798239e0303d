"""What can go wrong between meshc and Consul.

ConsulError                  Consul does not do what it was asked for
├── ConsulUnreachableError   nobody answers: refused, reset, late, a certificate that does not fit
├── ConsulDeniedError        the token may not do that, or is no token (any more)
├── ConsulUnavailableError   it answers that it cannot: no leader, too many requests, 5xx
├── ConsulReplyError         it answers nonsense, or more than it may
└── ConsulConflictError      somebody else was quicker: a lock is lost, a value has changed
"""

from __future__ import annotations

from meshc.diagnostics.errors import MeshcError


class ConsulError(MeshcError):
    """Consul does not do what it was asked for."""


class ConsulUnreachableError(ConsulError):
    """There is no connection to Consul, or it ended before the answer did."""


class ConsulDeniedError(ConsulError):
    """The token is unknown, or its rules do not allow the call."""


class ConsulUnavailableError(ConsulError):
    """Consul is there and cannot help at the moment; asking again later is right."""


class ConsulReplyError(ConsulError):
    """An answer is malformed, contradicts itself, or is larger than it may be."""


class ConsulConflictError(ConsulError):
    """Somebody else has changed or holds what was to be changed."""
