"""The manifest: which files make up a node, with the SHA-256 of each (`sha256sum` agrees).

One line for each service and node, so that a change of one shows as one line in a diff, and so
that a host can find its own line without reading ten thousand others.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from meshc.artifact.layout import NODE_FILES, SERVICES, instances_path, node_directory
from meshc.diagnostics.errors import BundleError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FORMAT = 1
_DEFAULT_DRAIN_S = 600.0
_SECTIONS = ("services", "nodes", "origins")
_DELIVERED = frozenset({"services", "nodes"})


def drain_seconds(text: str) -> float:
    """Read how long a replaced listener may live; Envoy's own default where that says nothing."""
    try:
        seconds = float(text.removesuffix("s"))
    except ValueError:
        return _DEFAULT_DRAIN_S
    return seconds if 0 <= seconds < math.inf else _DEFAULT_DRAIN_S


def file_digest(data: bytes) -> str:
    """SHA-256 of a file's bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestHeader:
    """What is said once about a whole build.

    ``drain_time`` is how long a replaced listener may live, as Envoy writes durations.
    """

    meshc: str
    envoy: str
    mesh: str
    drain_time: str


def render_manifest(
    header: ManifestHeader,
    *,
    services: Mapping[str, str],
    nodes: Mapping[str, str],
    origins: Mapping[str, str],
) -> bytes:
    """Write a manifest from ready JSON texts by name; the texts must not contain line breaks.

    The generation is a digest of services and nodes, so it changes exactly when some file does;
    a moved comment in a spec changes origins and nothing else.
    """
    generation = hashlib.sha256(f"{header.mesh}\n{header.drain_time}".encode())
    facts: dict[str, Any] = {
        "format": FORMAT,
        "meshc": header.meshc,
        "envoy": header.envoy,
        "mesh": header.mesh,
        "drain_time": header.drain_time,
    }
    # A large mesh has ten megabytes of lines; they are joined once and not section by section.
    body: list[str] = []
    for name, lines in zip(_SECTIONS, (services, nodes, origins), strict=True):
        start = len(body)
        body += _section(lines)
        if name in _DELIVERED:
            generation.update(b"\n")
            for part in body[start:]:
                generation.update(part.encode())
        body[start] = f',\n"{name}": {body[start]}'
    facts["generation"] = generation.hexdigest()
    head = ",\n".join(f'"{key}": {json.dumps(value)}' for key, value in facts.items())
    return "".join([f"{{\n{head}", *body, "\n}\n"]).encode()


def _section(lines: Mapping[str, str]) -> list[str]:
    """Return the text of a section in parts, without a copy of any line."""
    if not lines:
        return ["{}"]
    parts = ["{\n"]
    for name in sorted(lines):
        parts += ('"', name, '": ', lines[name], ",\n")
    parts[-1] = "\n}"
    return parts


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest that was read back; ``digest`` is that of its own bytes."""

    data: Mapping[str, Any]
    digest: str
    _by_service: dict[str, Mapping[str, tuple[str, str]]] = field(
        default_factory=dict, compare=False, repr=False
    )

    @classmethod
    def parse(cls, text: bytes) -> Manifest:
        """Read a manifest; raises BundleError where it is damaged or of another format."""
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BundleError(f"the manifest is damaged: {error}") from error
        if not isinstance(data, dict) or not all(
            isinstance(data.get(section), dict) for section in _SECTIONS
        ):
            raise BundleError("the manifest is damaged: parts are missing")
        return cls.of(data, text)

    @classmethod
    def of(cls, data: Mapping[str, Any], text: bytes) -> Manifest:
        """Take over what was read of a manifest; raises BundleError for another format."""
        if data.get("format") != FORMAT:
            raise BundleError(
                f"the manifest has format {data.get('format')!r}, this meshc knows {FORMAT}",
                hint="use one version of meshc for building and delivering",
            )
        return cls(data, file_digest(text))

    @property
    def generation(self) -> str:
        """Digest of everything that nodes are made of."""
        return str(self.data["generation"])

    @property
    def mesh(self) -> str:
        """Name of the mesh."""
        return str(self.data["mesh"])

    @property
    def drain_time(self) -> str:
        """How long a replaced listener may live, as Envoy writes durations."""
        return str(self.data.get("drain_time", ""))

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of all nodes, sorted."""
        return tuple(self.data["nodes"])

    def node_files(self, node: str) -> dict[str, tuple[str, str]]:
        """Files of a node: path on the host → (path in `out/`, SHA-256).

        Raises UnknownNameError where the bundle has no such node, BundleError where it
        contradicts itself.
        """
        entry = self.data["nodes"].get(node)
        if entry is None:
            raise UnknownNameError("node", node, self.nodes)
        try:
            files = {
                name: (f"{node_directory(node)}/{name}", str(entry[name])) for name in NODE_FILES
            }
            for service, names in entry["uses"].items():
                known = self._service_files(service)
                for name in names:
                    file = known[name]
                    files[file[0]] = file
        except (KeyError, TypeError, AttributeError) as error:
            raise BundleError(f'the manifest contradicts itself about node "{node}"') from error
        return files

    def _service_files(self, service: str) -> Mapping[str, tuple[str, str]]:
        """Name → path and SHA-256; made once, as many nodes use the same."""
        found = self._by_service.get(service)
        if found is None:
            found = {
                name: (f"{SERVICES}/{service}/{name}", str(digest))
                for name, digest in self.data["services"][service].items()
            }
            self._by_service[service] = found
        return found

    def instances_file(self, service: str) -> tuple[str, str] | None:
        """Return path and SHA-256 of the facts about a service's instances, None without any."""
        path = instances_path(service)
        digest = self.data["services"].get(service, {}).get(path.rpartition("/")[2])
        return None if digest is None else (path, str(digest))

    def runs(self, node: str) -> tuple[str, ...]:
        """Names of the services whose application is on a node; none for an unknown node."""
        return tuple(self.data["nodes"].get(node, {}).get("runs", ()))

    def files(self) -> Iterator[tuple[str, str]]:
        """All files of the bundle as (path in `out/`, SHA-256), without the manifest."""
        for node, entry in self.data["nodes"].items():
            for name in NODE_FILES:
                yield f"{node_directory(node)}/{name}", entry[name]
        for service, entry in self.data["services"].items():
            for name, digest in entry.items():
                yield f"{SERVICES}/{service}/{name}", digest

    def origin(self, node: str, resource: str) -> str | None:
        """Spec place (``file:line:column``) behind a resource's name on a node, if known."""
        return origin_of(self.data["origins"], node, resource)

    def node_origins(self, node: str) -> dict[str, Any]:
        """Return the part of the origins that can matter to a node."""
        uses = self.data["nodes"].get(node, {}).get("uses", {})
        found = {}
        for service, entry in self.data["origins"].items():
            hosts = entry.get("hosts", {}) if isinstance(entry, dict) else {}
            if service in uses or node in hosts:
                own = {node: hosts[node]} if node in hosts else {}
                found[service] = {**entry, "hosts": own}
        return found


def origin_of(origins: Mapping[str, Any], node: str, resource: str) -> str | None:
    """Spec place (``file:line:column``) behind a resource's name on a node, if known."""
    direction, separator, rest = resource.partition("/")
    service, _, consumer = (rest if separator else direction).partition("@")
    if consumer and direction != "inbound":
        return _place(origins, consumer, "dependencies", service)
    if separator and direction == "inbound":
        return _place(origins, service, "hosts", node) or _place(origins, service, "", "")
    return _place(origins, service, "", "")


def _place(origins: Mapping[str, Any], service: str, kind: str, name: str) -> str | None:
    entry = origins.get(service)
    if not isinstance(entry, dict):
        return None
    position = entry.get(kind, {}).get(name) if kind else entry.get("at")
    return None if position is None else f"{entry['file']}:{position}"
