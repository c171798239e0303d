"""Files and resources encoded once for all nodes: by their digests."""

from __future__ import annotations

import hashlib
import json
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from meshc.delivery.xds.content.grpc_client import for_grpc_client
from meshc.delivery.xds.content.rewrite import Variant, rewritten
from meshc.delivery.xds.protocol.snapshot import Encoded, TypeSet, encoded
from meshc.delivery.xds.protocol.types import CLUSTER, ENDPOINT, TypeUrl
from meshc.diagnostics.errors import BundleError

if TYPE_CHECKING:
    from meshc.proto import EnvoySchema

_EDS = "EDS"


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class FileResources:
    """The resources of one file, all of one type."""

    type_url: TypeUrl
    resources: TypeSet


class Library:
    """Encodes files.  What no snapshot holds any more is forgotten by itself."""

    def __init__(self, schema: EnvoySchema) -> None:
        self._schema = schema
        self._files: weakref.WeakValueDictionary[tuple[str, Variant], FileResources] = (
            weakref.WeakValueDictionary()
        )
        # Files of one node alone share most of what is in them: all hosts of a service listen
        # for its calls in the same way.
        self._resources: weakref.WeakValueDictionary[tuple[Variant, bytes], Encoded] = (
            weakref.WeakValueDictionary()
        )

        self._unions: weakref.WeakValueDictionary[tuple[FileResources, ...], TypeSet] = (
            weakref.WeakValueDictionary()
        )

    def __len__(self) -> int:
        return len(self._files)

    def known(self, digest: str, variant: Variant) -> FileResources | None:
        """Return what a file holds if that is known already."""
        return self._files.get((digest, variant))

    def add(self, digest: str, data: bytes, type_url: TypeUrl, variant: Variant) -> FileResources:
        """Encode a file, whose digest was verified.

        Raises:
            BundleError: it is no list of resources of that type.
        """
        messages = read_resources(data)
        try:
            if variant is Variant.GRPC_CLIENT:
                messages = for_grpc_client(messages, type_url)
            found = [self._encoded(message, type_url, variant) for message in messages]
        except (ValueError, KeyError, TypeError) as error:
            raise BundleError(f"a file of the bundle holds no resource of ours: {error}") from error
        file = FileResources(type_url, TypeSet.of(found))
        self._files[digest, variant] = file
        return file

    def union(self, files: tuple[FileResources, ...]) -> TypeSet:
        """Return the resources of several files; all nodes with the same files have the same."""
        if len(files) == 1:
            return files[0].resources
        known = self._unions.get(files)
        if known is None:
            known = TypeSet.of(one for file in files for one in file.resources.resources.values())
            self._unions[files] = known
        return known

    def _encoded(self, message: dict[str, Any], type_url: TypeUrl, variant: Variant) -> Encoded:
        digest = hashlib.sha256(orjson.dumps(message, option=orjson.OPT_SORT_KEYS)).digest()
        known = self._resources.get((variant, digest))
        if known is None or message["@type"] != type_url:
            known = self._encoded_anew(message, type_url, variant)
            self._resources[variant, digest] = known
        return known

    def _encoded_anew(
        self, message: dict[str, Any], type_url: TypeUrl, variant: Variant
    ) -> Encoded:
        body = dict(message)
        if body.pop("@type") != type_url:
            raise ValueError(f'"{message["@type"]}" where "{type_url}" belongs')
        name = body["cluster_name" if type_url == ENDPOINT else "name"]
        wire = self._schema.to_wire(type_url, rewritten(body, variant))
        endpoints = _endpoints_of(body) if type_url == CLUSTER else None
        return encoded(type_url, name, wire, endpoints=endpoints)


def read_resources(data: bytes) -> list[dict[str, Any]]:
    """Read a file of resources; raises BundleError."""
    try:
        messages = json.loads(data)["resources"]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise BundleError(f"a file of the bundle is no list of resources: {error}") from error
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        raise BundleError("a file of the bundle is no list of resources")
    return messages


def _endpoints_of(cluster: dict[str, Any]) -> str | None:
    """Return the name of the load assignment that a cluster waits for."""
    if cluster.get("type") != _EDS:
        return None
    name = cluster.get("eds_cluster_config", {}).get("service_name") or cluster["name"]
    return str(name)
