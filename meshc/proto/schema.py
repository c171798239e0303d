"""Envoy's schema of one version: which messages are right, and their wire form."""

from __future__ import annotations

import zlib
from importlib import resources
from typing import TYPE_CHECKING, Any

from meshc.diagnostics import InternalError
from meshc.proto.faults import Violation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.descriptor_pool import DescriptorPool

_PREFIX = "envoy-"
_SUFFIX = ".binpb.zlib"


def known_versions() -> tuple[str, ...]:
    """Return the versions of Envoy whose schema is shipped, oldest first."""
    names = [entry.name for entry in _folder().iterdir()]
    versions = [
        name[len(_PREFIX) : -len(_SUFFIX)]
        for name in names
        if name.startswith(_PREFIX) and name.endswith(_SUFFIX)
    ]
    return tuple(sorted(versions, key=lambda version: [int(part) for part in version.split(".")]))


def load_schema(version: str) -> EnvoySchema:
    """Load the schema of one of the known versions; takes about 15 ms; types are made on first use.

    Protobuf is imported here and not with the package, so that commands without messages
    start without it.  Keep the result: checks are made on first use and stay with it.
    """
    if version not in known_versions():
        raise InternalError(f'there is no schema of Envoy "{version}"')
    return unpack_schema(version, _folder().joinpath(f"{_PREFIX}{version}{_SUFFIX}").read_bytes())


def unpack_schema(version: str, packed: bytes) -> EnvoySchema:
    """Make a schema of what `meshc.proto.extract` took out of the Envoy of that version."""
    from google.protobuf.descriptor_pool import DescriptorPool  # noqa: PLC0415

    from meshc.proto.files import DescriptorFiles  # noqa: PLC0415, the same

    pool = DescriptorPool(DescriptorFiles(zlib.decompress(packed)))
    return EnvoySchema(version=version, pool=pool)


def _folder() -> Any:
    return resources.files("meshc.proto").joinpath("descriptors")


class EnvoySchema:
    """All message types of one Envoy version, in a descriptor pool of their own."""

    def __init__(self, *, version: str, pool: DescriptorPool) -> None:
        from meshc.proto.codec import Codec  # noqa: PLC0415 - it needs protobuf
        from meshc.proto.compiler import CheckCompiler  # noqa: PLC0415 - the same

        self.version = version
        self.pool = pool
        self._checks = CheckCompiler(pool)
        self._codec = Codec(pool)

    def check(self, type_url: str, message: Mapping[str, Any]) -> tuple[Violation, ...]:
        """Return everything in the message that Envoy would refuse, in document order.

        The message is Envoy's JSON as plain dictionaries and lists, with field names as in
        its documentation (``stat_prefix``).  Fields that are missing come after those that
        are there.  Never raises for a message, whatever is in it.
        """
        check = self._checks.resource(type_url)
        if check is None:
            text = f'"{type_url}" is not a message type of Envoy {self.version}'
            return (Violation("", text),)
        faults = check(message if isinstance(message, dict) else dict(message), 0)
        return tuple(Violation(path.removeprefix("."), text) for path, text in faults)

    def to_wire(self, type_url: str, message: Mapping[str, Any]) -> bytes:
        """Return the wire form of a message that was checked: the same bytes every time."""
        return self._codec.to_wire(type_url, message)

    def from_wire(self, type_url: str, wire: bytes) -> dict[str, Any]:
        """Return a message in wire form as Envoy's JSON."""
        return self._codec.from_wire(type_url, wire)
