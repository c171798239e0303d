"""Which node a client may ask for: what its certificate says, exactly, and nothing else.

A certificate of node ``web1`` of mesh ``shop`` has the DNS name ``web1`` or the URI
``spiffe://shop/web1`` as a subject alternative name.  The common name counts for nothing, and a
wildcard is a name like any other, which no node has.
"""

from __future__ import annotations

import math
import ssl
import time
from typing import TYPE_CHECKING, Any

from grpclib.const import Status
from grpclib.exceptions import GRPCError

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHOWN = 100


def names_in(certificate: Mapping[str, Any] | None) -> tuple[tuple[str, str], ...]:
    """Return the alternative names in what `ssl` says of a peer's certificate."""
    found = (certificate or {}).get("subjectAltName", ())
    return tuple((str(kind), str(name)) for kind, name in found)


def is_node(certificate: Mapping[str, Any] | None, *, mesh: str, node: str) -> bool:
    """Whether a certificate is that of a node."""
    allowed = {("DNS", node), ("URI", f"spiffe://{mesh}/{node}")}
    return not allowed.isdisjoint(names_in(certificate))


def is_withdrawn(certificate: Mapping[str, Any] | None, withdrawn: frozenset[str]) -> bool:
    """Whether a certificate is on the list: by its serial number, or by a name in it."""
    if not withdrawn or certificate is None:
        return False
    serial = str(certificate.get("serialNumber", "")).lower().lstrip("0")
    names = {name for _, name in names_in(certificate)}
    return serial in withdrawn or not names.isdisjoint(withdrawn)


def read_withdrawn(text: str) -> frozenset[str]:
    """Read a list: a serial number in hex, or a name, on each line; ``#`` starts a comment."""
    entries = set()
    for line in text.splitlines():
        entry = line.partition("#")[0].strip()
        if entry:
            entries.add(entry)
            entries.add(entry.replace(":", "").lower().lstrip("0"))
    return frozenset(entries)


def ends_at(certificate: Mapping[str, Any] | None) -> float:
    """Return when a certificate comes to its end, in seconds of the clock."""
    found = (certificate or {}).get("notAfter")
    return ssl.cert_time_to_seconds(found) if found else math.inf


class CertificateGate:
    """Lets a client ask for the node that its certificate names."""

    def __init__(self, mesh: str) -> None:
        self.mesh = mesh
        self.withdrawn: frozenset[str] = frozenset()

    def check(self, peer: Any, node: str) -> None:
        """Raise GRPCError where this peer may not ask for this node."""
        certificate = peer.cert()
        if not certificate:
            raise GRPCError(Status.UNAUTHENTICATED, "no client certificate")
        if is_withdrawn(certificate, self.withdrawn):
            raise GRPCError(Status.PERMISSION_DENIED, "this certificate is withdrawn")
        if ends_at(certificate) <= time.time():
            raise GRPCError(Status.PERMISSION_DENIED, "this certificate has come to its end")
        if not is_node(certificate, mesh=self.mesh, node=node):
            raise GRPCError(
                Status.PERMISSION_DENIED,
                f'the certificate is not that of node "{node[:_SHOWN]}"',
            )


class OpenGate:
    """Lets everybody ask for every node: for Unix sockets and loopback, when asked for."""

    def check(self, peer: Any, node: str) -> None:
        """Let everybody pass."""
