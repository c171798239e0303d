"""Each distinct resource before a real Envoy, once for ever; its complaint becomes a diagnostic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshc.compile.resources import BOOTSTRAP, digest_of, encode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from meshc.compile.resources import Message, Resource
    from meshc.diagnostics import DiagnosticSink
    from meshc.validate.constraints import Digests
    from meshc.validate.envoy_binary import Candidate, EnvoyGate

_BATCH = 256
"""Resources handed to the gate at once; it makes larger batches of its own."""

# What differs from node to node in a bootstrap and says nothing that Envoy could refuse beyond
# what the schema has checked: ten thousand bootstraps are a handful of shapes.
_SHAPELESS_NODE: Message = {"id": "node", "cluster": "cluster"}


class EnvoyCheck:
    """Judges resources with an Envoy program; without one it lets everything pass.

    ``accepted`` gives the digests that an Envoy of a version has accepted before.
    """

    def __init__(
        self,
        binary: Path | None,
        accepted: Callable[[str], Digests],
        sink: DiagnosticSink,
    ) -> None:
        self._sink = sink
        self._gate: EnvoyGate | None = None
        self.version = ""
        self.judged = 0
        if binary is not None:
            from meshc.validate.envoy_binary import EnvoyGate  # noqa: PLC0415, only where used

            self._gate = EnvoyGate(binary)
            self.version = self._gate.version()
            self._accepted = accepted(self.version)
        self._submitted: dict[str, Resource] = {}
        self._waiting: list[Candidate] = []

    def check(self, resource: Resource) -> None:
        """Hand a resource to Envoy, which works in the background."""
        if self._gate is None:
            return
        key, message = _judged_as(resource)
        if key in self._submitted or key in self._accepted:
            return
        from meshc.validate.envoy_binary import Candidate  # noqa: PLC0415, only where used

        self._submitted[key] = resource
        self._waiting.append(Candidate(key, resource.type_url, message))
        if len(self._waiting) >= _BATCH:
            self._hand_over()

    def _hand_over(self) -> None:
        if self._gate is not None and self._waiting:
            self._gate.submit(self._waiting)
            self._waiting = []

    def finish(self) -> None:
        """Wait for Envoy and report every resource that it refuses."""
        if self._gate is None:
            return
        self._hand_over()
        self.judged = len(self._submitted)
        refused = {refusal.key: refusal for refusal in self._gate.finish()}
        left_out = 0
        for key, resource in self._submitted.items():
            refusal = refused.get(key)
            if refusal is None:
                self._accepted.add(key)
            elif not refusal.is_judged:
                left_out += 1
            else:
                self._report(resource, refusal.reason)
        if left_out:
            self._sink.report(
                "MC703",
                f"{left_out} more resources were not judged, because Envoy refused so many",
                hint="mend what is reported and build again",
            )
        self._accepted.save()

    def _report(self, resource: Resource, reason: str) -> None:
        kind = resource.type_url.rpartition(".")[2]
        self._sink.report(
            "MC701",
            f'Envoy {self.version} refuses {kind} "{resource.name}": {reason}',
            at=resource.origin.span,
            hint="the place is what caused the resource; change what Envoy names in it",
        )

    def close(self) -> None:
        """End what is still running."""
        if self._gate is not None:
            self._gate.close()


def _judged_as(resource: Resource) -> tuple[str, dict[str, Any]]:
    """Return the key under which a verdict holds, and the message to be judged."""
    if resource.type_url != BOOTSTRAP:
        return resource.digest, resource.message
    shape = {**resource.message, "node": _SHAPELESS_NODE}
    return digest_of(encode(shape)), shape
