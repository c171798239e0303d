"""What can be wrong with a store that answers.

StoreError               the store cannot be used, or not in this way
└── StoreConflictError   somebody else changed the same thing at the same time
"""

from __future__ import annotations

from meshc.diagnostics.errors import MeshcError


class StoreError(MeshcError):
    """What is kept in Consul is not a store of this version's, or is damaged."""


class StoreConflictError(StoreError):
    """Somebody else changes what was to be changed; nothing was written."""
