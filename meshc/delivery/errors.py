"""What can go wrong beside Envoy.

DeliveryError              files cannot be delivered; nothing was changed, or it was put back
├── AdminError             Envoy's admin interface does not answer as it should
│   └── EnvoyGoneError     nobody listens there at all
└── RefusedError           Envoy has answered: not these files
"""

from __future__ import annotations

from meshc.diagnostics.errors import MeshcError


class DeliveryError(MeshcError):
    """A node's files cannot be brought under its Envoy.

    ``is_restored`` is False where files were changed and could not be put back.
    """

    is_restored = True


class AdminError(DeliveryError):
    """Envoy's admin interface is late, or answers something that is no answer."""


class EnvoyGoneError(AdminError):
    """Nobody listens at the address of Envoy's admin interface."""


class RefusedError(DeliveryError):
    """Envoy did not take a file over; ``reasons`` are its own words, as far as it gave any.

    ``resources`` are the names of what it refused, as far as they are known.  Where it has not
    even looked at the file, ``is_answer`` is False: that says nothing about the file.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str,
        reasons: tuple[str, ...] = (),
        resources: tuple[str, ...] = (),
        is_answer: bool = True,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.path = path
        self.reasons = reasons
        self.resources = resources
        self.is_answer = is_answer
