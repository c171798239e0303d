"""Each distinct resource against Envoy's schema, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Protocol

    from meshc.compile.resources import Resource
    from meshc.diagnostics import DiagnosticSink
    from meshc.proto import EnvoySchema

    class Digests(Protocol):
        """Digests of what is known to be right."""

        def __contains__(self, digest: str) -> bool: ...
        def add(self, digest: str) -> None:
            """Remember a digest."""

        def save(self) -> None:
            """Make what was added last."""


class SchemaCheck:
    """Checks resources that no earlier build has checked."""

    def __init__(self, version: str, known: Digests, sink: DiagnosticSink) -> None:
        self._version = version
        self._known = known
        self._sink = sink
        self._schema: EnvoySchema | None = None
        self.checked = 0

    def check(self, resource: Resource) -> None:
        """Report what Envoy's schema refuses, at the place in the specs that caused it."""
        if resource.digest in self._known:
            return
        if self._schema is None:
            # Loaded on first use: a build that finds everything in its cache never needs it.
            from meshc.proto import load_schema  # noqa: PLC0415

            self._schema = load_schema(self._version)
        self.checked += 1
        violations = self._schema.check(resource.type_url, resource.message)
        if not violations:
            self._known.add(resource.digest)
            return
        kind = resource.type_url.rpartition(".")[2]
        for violation in violations:
            where = f" at {violation.path}" if violation.path else ""
            self._sink.report(
                "MC601",
                f'{kind} "{resource.name}" does not fit the schema of Envoy {self._version}'
                f"{where}: {violation.message}",
                at=resource.origin.span,
                hint="if no setting of yours has such a value, this is a mistake of meshc; "
                "please report it",
            )
