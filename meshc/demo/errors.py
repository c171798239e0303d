"""What can prevent the demonstration."""

from __future__ import annotations

from meshc.diagnostics.errors import MeshcError


class DemoError(MeshcError):
    """The demonstration cannot run: a port is busy, a program ended, the specs tell no story."""
