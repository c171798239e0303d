"""What the nodes of a whole bundle cost in one server.

python -m benchmarks.loading all OUT     a snapshot of every node, all held at once
python -m benchmarks.loading floor OUT   read the manifest and every distinct file, and parse them
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from meshc.artifact.layout import MANIFEST
from meshc.artifact.manifest import Manifest
from meshc.delivery.xds.bundles import resource_files
from meshc.delivery.xds.library import Library
from meshc.delivery.xds.rewrite import Variant
from meshc.delivery.xds.source import DirectorySource
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


if __name__ == "__main__":
    work = everything if sys.argv[1] == "all" else floor
    print(json.dumps(work(Path(sys.argv[2]))))
