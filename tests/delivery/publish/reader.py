"""What an agent makes of a place, with the agent's own code for reading publications."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshc.delivery.agent.sources.published import pointer_from, read_published
from tests.delivery.publish.bundles import MESH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshc.artifact.published import Pointer
    from tests.delivery.publish.bundles import Mesh

_MAX_FILE = 16 * 1024 * 1024


def pointer_of(values: Mapping[str, bytes], node: str) -> Pointer:
    return pointer_from(values[f"nodes/{node}"], node, MESH)


def files_of(values: Mapping[str, bytes], node: str) -> dict[str, bytes]:
    """The files that a node reads; a blob that is missing fails."""
    bundle = read_published(
        pointer_of(values, node),
        None,
        held=lambda _digest: None,
        blob=lambda digest: values[f"blobs/{digest}"],
        max_file=_MAX_FILE,
    )
    assert bundle is not None
    return dict(bundle.files)


def nodes_of(values: Mapping[str, bytes]) -> set[str]:
    return {key.removeprefix("nodes/") for key in values if key.startswith("nodes/")}


def blobs_of(values: Mapping[str, bytes]) -> set[str]:
    return {key for key in values if key.startswith("blobs/")}


def check(values: Mapping[str, bytes], mesh: Mesh) -> None:
    """Every node reads what it must, and nobody else is there."""
    assert nodes_of(values) == mesh.nodes.keys()
    for node in mesh.nodes:
        assert files_of(values, node) == mesh.files(node)


def orders(values: Mapping[str, bytes]) -> dict[str, int]:
    return {node: pointer_of(values, node).order for node in nodes_of(values)}
