"""A publisher as tests use it: without progress, and with any bounds unless some are given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshc.delivery.publish.local import LocalBundle
from meshc.delivery.publish.publisher import Published, Publisher, Wishes
from tests.delivery.publish.bundles import ANY, NOW, Mesh

if TYPE_CHECKING:
    from pathlib import Path

    from meshc.delivery.publish.place import Place


def publish_to(place: Place, mesh: Mesh, out: Path, now: int = NOW, **wishes: object) -> Published:
    """Build a mesh in ``out`` and publish that."""
    mesh.write(out)
    return publish_out(place, out, now, **wishes)


def publish_out(place: Place, out: Path, now: int = NOW, **wishes: object) -> Published:
    """Publish a bundle."""
    given: dict[str, object] = {"bounds": ANY} | wishes
    publisher = Publisher(
        LocalBundle(out),
        place,
        Wishes(**given),  # type: ignore[arg-type]
        progress=lambda _done, _total: None,
    )
    return publisher.publish(now)
