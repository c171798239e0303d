"""A store as the place where documents are kept, for everything that takes ``--specs``."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from meshc.consul.address import parse_consul_url
from meshc.store.keys import StoreKeys

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from meshc.consul.client import ConsulClient
    from meshc.diagnostics import DiagnosticSink
    from meshc.spec.places import SpecText

_MAX_BODY = 256 * 1024 * 1024
"""Bytes of one answer with all documents; base64, so 190 MiB of text, more than any mesh has."""


@dataclass(frozen=True, slots=True)
class ConsulStore:
    """A mesh's documents in a Consul; nothing is read before somebody asks."""

    root: str
    mesh: str
    address: str
    environment: Mapping[str, str]
    flags: Mapping[str, Any] = field(default_factory=dict)
    """Options of a command line about Consul, above the environment."""

    @property
    def keys(self) -> StoreKeys:
        """Where the documents are."""
        return StoreKeys(self.mesh)

    @contextlib.contextmanager
    def connected(self) -> Iterator[ConsulClient]:
        """Open a client, with token and certificates from the environment."""
        from meshc.consul.client import ConsulClient  # noqa: PLC0415, only who connects pays
        from meshc.consul.settings import load_consul_settings  # noqa: PLC0415, the same

        given = {**self.flags, **({"address": self.address} if self.address else {})}
        settings = load_consul_settings(given, self.environment)
        with ConsulClient(settings, max_body=_MAX_BODY) as client:
            yield client

    def texts(self, sink: DiagnosticSink) -> Iterator[SpecText]:
        """Read all documents of one revision, under the names that an export gives them."""
        from meshc.store.documents import spec_text  # noqa: PLC0415, only who reads pays
        from meshc.store.snapshot import read_snapshot  # noqa: PLC0415, the same

        with self.connected() as client:
            snapshot = read_snapshot(client, self.keys)
        for document in snapshot.documents.values():
            yield spec_text(document.name, document.content, sink)


def open_store(url: str, environment: Mapping[str, str]) -> ConsulStore:
    """Return the store that a URL names; raises SettingsError where it names none."""
    found = parse_consul_url(url)
    return ConsulStore(url, found.mesh, found.address, environment)
