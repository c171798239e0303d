"""What the nodes of a whole bundle cost in one server, and what one change of it sends them.

python -m benchmarks.loading all OUT     a snapshot of every node, all held at once
python -m benchmarks.loading floor OUT   read the manifest and every distinct file, and parse them
python -m benchmarks.loading change OUT NEW
    every node has a stream and has taken everything; then NEW is served
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from meshc.artifact.layout import MANIFEST
from meshc.artifact.manifest import Manifest
from meshc.delivery.xds.content.bundles import resource_files
from meshc.delivery.xds.content.library import Library
from meshc.delivery.xds.content.rewrite import Variant
from meshc.delivery.xds.content.source import DirectorySource
from meshc.delivery.xds.protocol.stream import Stream
from meshc.delivery.xds.protocol.types import CLUSTER, ENDPOINT, LISTENER, ROUTE, TypeUrl
from meshc.delivery.xds.protocol.wire import DeltaRequest, Request
from meshc.proto import known_versions, load_schema


def resident_mib() -> float:
    """Return how much memory this process has."""
    [line] = [
        line
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmRSS:")
    ]
    return int(line.split()[1]) / 1024


def everything(out: Path) -> dict[str, float]:
    """Load as the server does, and make the snapshots of all nodes."""
    library = Library(load_schema(known_versions()[-1]))
    imported = resident_mib()
    started = time.perf_counter()
    bundles = DirectorySource(out, library).load(None)
    if bundles is None:
        raise AssertionError
    nodes = list(bundles.manifest.data["nodes"])
    snapshots = [bundles.snapshot(node, Variant.AGGREGATED) for node in nodes]
    seconds = time.perf_counter() - started
    uses = [
        id(resource)
        for snapshot in snapshots
        for kind in snapshot.types.values()
        for resource in kind.resources.values()
    ]
    return {
        "seconds": seconds,
        "nodes": len(nodes),
        "resident_mib": resident_mib(),
        "imported_mib": imported,
        "resources": len(set(uses)),
        "uses": len(uses),
    }


def floor(out: Path) -> dict[str, float]:
    """Read and parse each distinct file once."""
    started = time.perf_counter()
    manifest = Manifest.parse((out / MANIFEST).read_bytes())
    places: dict[str, str] = {}
    for node in manifest.data["nodes"]:
        for place, digest in resource_files(manifest.node_files(node)).values():
            places.setdefault(digest, place)
    for place in places.values():
        json.loads((out / place).read_bytes())
    return {"seconds": time.perf_counter() - started}


def change(out: Path, new: Path) -> dict[str, float]:
    """Count who is sent something, and how many bytes, over delta and state of the world."""
    library = Library(load_schema(known_versions()[-1]))
    old, changed = (
        DirectorySource(out, library).load(None),
        DirectorySource(new, library).load(None),
    )
    if old is None or changed is None:
        raise AssertionError
    nodes = [node for node in old.manifest.data["nodes"] if changed.has(node)]
    found: dict[str, float] = {"nodes": len(nodes)}
    for name, is_delta in (("delta", True), ("whole", False)):
        sent: list[int] = []
        for node in nodes:
            stream = Stream(snapshot=old.snapshot(node, Variant.AGGREGATED), is_delta=is_delta)
            _take_everything(stream, node)
            responses = stream.publish(changed.snapshot(node, Variant.AGGREGATED), 0.0)
            if responses:
                sent.append(sum(map(len, responses)))
        found |= {f"{name}_nodes": len(sent), f"{name}_bytes": sum(sent) / len(sent)}
    return found


def _take_everything(stream: Stream, node: str) -> None:
    """Ask for all types, and accept what comes, until nothing more does."""
    names = {kind: tuple(stream.snapshot.of(kind).resources) for kind in (ENDPOINT, ROUTE)}
    kinds = (CLUSTER, ENDPOINT, LISTENER, ROUTE)
    waiting = [
        response
        for kind in kinds
        for response in stream.request(_request(stream, kind, node, names.get(kind, ())), 0.0)
    ]
    while waiting:
        waiting.pop()
        for kind, known in list(stream.subscriptions.items()):
            if known.is_outstanding:
                accepted = _request(stream, kind, "", names.get(kind, ()), known.nonce)
                waiting += stream.request(accepted, 0.0)


def _request(
    stream: Stream, kind: TypeUrl, node: str, names: tuple[str, ...], nonce: str = ""
) -> Request | DeltaRequest:
    if stream.is_delta:
        return DeltaRequest(type_url=kind, node=node, subscribe=() if nonce else names, nonce=nonce)
    return Request(type_url=kind, node=node, names=names, nonce=nonce)


if __name__ == "__main__":
    places = [Path(one) for one in sys.argv[2:]]
    match sys.argv[1]:
        case "all":
            found = everything(places[0])
        case "floor":
            found = floor(places[0])
        case _:
            found = change(*places)
    print(json.dumps(found))
