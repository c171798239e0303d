"""Small bundles to write, and what a reader makes of a folder."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from meshc.artifact.layout import BOOTSTRAP, CDS, LDS
from meshc.artifact.manifest import ManifestHeader, file_digest, render_manifest
from meshc.artifact.store import DirectoryStore
from meshc.artifact.write import BundleWriter

if TYPE_CHECKING:
    from pathlib import Path

HEADER = ManifestHeader(meshc="0", envoy="1.40.0", mesh="test", drain_time="60s")


class Bundle:
    """Files of some nodes with one service; everything says which number it is of."""

    def __init__(self, number: int, nodes: tuple[str, ...]) -> None:
        self.nodes = nodes
        self.files = {"services/app/eds.json": b'{"number": %d}' % number}
        for node in nodes:
            # The bootstrap is of no number: one file of each node stays as it is.
            self.files[f"nodes/{node}/{BOOTSTRAP}"] = node.encode()
            self.files[f"nodes/{node}/{CDS}"] = b"clusters of %d" % number
            self.files[f"nodes/{node}/{LDS}"] = b"listeners of %d" % number
        lines = {
            node: json.dumps(
                {
                    **{
                        name: file_digest(self.files[f"nodes/{node}/{name}"])
                        for name in (BOOTSTRAP, CDS, LDS)
                    },
                    "uses": {"app": ["eds.json"]},
                }
            )
            for node in nodes
        }
        service = json.dumps({"eds.json": file_digest(self.files["services/app/eds.json"])})
        self.manifest = render_manifest(HEADER, services={"app": service}, nodes=lines, origins={})

    def write(self, out: Path) -> None:
        """Write what differs from what is there, and remove the rest, as a build does."""
        with BundleWriter(out) as writer:
            old = contents(out)
            for path, data in self.files.items():
                if old.get(path) != data:
                    writer.stage(path, data)
            writer.commit(self.manifest, sorted(old.keys() - self.files.keys() - {"manifest.json"}))

    @property
    def seen(self) -> dict[str, dict[str, bytes]]:
        """What a reader must see: for each node its files as they lie on its host."""
        service = "services/app/eds.json"
        return {
            node: {
                **{name: self.files[f"nodes/{node}/{name}"] for name in (BOOTSTRAP, CDS, LDS)},
                service: self.files[service],
            }
            for node in self.nodes
        }


OLD = Bundle(1, ("a", "b", "gone"))
NEW = Bundle(2, ("a", "b", "come"))


def contents(out: Path) -> dict[str, bytes]:
    """Everything in a folder."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file()
    }


def mark_journal(journal: Path) -> None:
    """Mark a folder as one that a writer has made here, wherever it is moved."""
    (journal / ".made-here").write_text(f"{journal.stat().st_ino}\n")


def seen_by_reader(out: Path) -> dict[str, dict[str, bytes]]:
    """Read all nodes through the store, which verifies every digest."""
    store = DirectoryStore(out)
    return {node: dict(store.node(node).files) for node in store.manifest().nodes}
