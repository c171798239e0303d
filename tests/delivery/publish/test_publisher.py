"""Publishing: what is written, and what is left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshc.artifact.publication import parse_index
from meshc.artifact.published import FUTURE_MS
from meshc.delivery.publish.plan import (
    PublishError,
)
from meshc.diagnostics.errors import BundleError
from tests.delivery.publish.bundles import HOUR, MESH, NEW, NOW, OLD, Mesh
from tests.delivery.publish.publishing import publish_out
from tests.delivery.publish.reader import check, nodes_of, orders

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from meshc.delivery.publish.publisher import Published
    from tests.delivery.publish.model_place import ModelPlace


def test_every_node_reads_what_was_built(
    place: ModelPlace, publish: Callable[..., Published]
) -> None:
    done = publish(place, OLD)

    check(place.values, OLD)
    assert done.is_changed
    assert done.written == ("a", "b", "c")
    assert orders(place.values) == dict.fromkeys("abc", NOW)


def test_equal_content_is_stored_once(place: ModelPlace, publish: Callable[..., Published]) -> None:
    publish(place, OLD)

    blobs = [key for key in place.values if key.startswith("blobs/")]
    listeners_and_clusters, bootstrap, services = 3 * 2, 1, 2
    shards = len(parse_index(place.values["index"], mesh=MESH).shards)
    assert len(blobs) == listeners_and_clusters + bootstrap + services + shards


def test_a_change_moves_the_pointers_that_it_concerns_and_no_other(
    place: ModelPlace, publish: Callable[..., Published]
) -> None:
    publish(place, OLD)
    mesh = Mesh({"a": "2", "b": "1", "c": "1"}, OLD.services)

    done = publish(place, mesh, NOW + 1)

    check(place.values, mesh)
    assert done.written == ("a",)
    assert orders(place.values) == {"a": NOW + 1, "b": NOW, "c": NOW}


def test_what_is_published_already_is_neither_written_nor_locked(
    place: ModelPlace, publish: Callable[..., Published]
) -> None:
    publish(place, OLD)
    before = dict(place.values)
    place.reads.clear()
    place.left = 0

    done = publish(place, OLD, NOW + HOUR)

    assert not done.is_changed
    assert place.values == before
    assert place.reads == ["index", "trash/"]


def test_a_node_that_has_left_the_mesh_has_no_pointer_any_more(
    place: ModelPlace, publish: Callable[..., Published]
) -> None:
    publish(place, OLD)

    done = publish(place, Mesh({"a": "1", "b": "1"}, OLD.services), NOW + 1)

    assert done.removed == ("c",)
    assert nodes_of(place.values) == {"a", "b"}


def test_a_dry_run_says_the_same_and_writes_nothing(
    place: ModelPlace, publish: Callable[..., Published]
) -> None:
    publish(place, OLD)
    before = dict(place.values)

    dry = publish(place, NEW, NOW + 1, is_dry=True)

    assert place.values == before
    done = publish(place, NEW, NOW + 1)
    assert (dry.is_changed, dry.written, dry.removed, dry.blobs) == (
        True,
        done.written,
        done.removed,
        done.blobs,
    )


def test_orders_rise_even_where_the_clock_stands_still_or_goes_back(
    place: ModelPlace, publish: Callable[..., Published]
) -> None:
    publish(place, OLD)

    first = publish(place, NEW, NOW)
    second = publish(place, OLD, NOW - HOUR)

    assert (first.order, second.order) == (NOW + 1, NOW + 2)


def test_again_writes_everything_with_a_new_order(
    place: ModelPlace, publish: Callable[..., Published]
) -> None:
    publish(place, OLD)

    done = publish(place, OLD, NOW + 5, again=True)

    assert done.is_changed
    assert done.written == ("a", "b", "c")
    assert orders(place.values) == dict.fromkeys("abc", NOW + 5)


def test_a_publication_from_the_future_is_not_built_upon_unless_all_is_written_again(
    place: ModelPlace, publish: Callable[..., Published]
) -> None:
    publish(place, OLD, NOW + FUTURE_MS + 1)

    with pytest.raises(PublishError, match="7 days in the future"):
        publish(place, NEW, NOW)
    publish(place, NEW, NOW, again=True)

    assert orders(place.values) == dict.fromkeys("abd", NOW)


@pytest.mark.parametrize(
    "damage",
    [
        lambda values: values.clear(),
        lambda values: values.pop("index"),
        lambda values: values.update(index=b"garbage"),
        lambda values: values.update({"nodes/a": b"garbage"}),
        lambda values: values.pop("nodes/b"),
        lambda values: [values.pop(key) for key in list(values) if key.startswith("blobs/")],
        lambda values: values.update(dict.fromkeys([k for k in values if "blobs/" in k], b"\0")),
        lambda values: [values.pop(key) for key in list(values) if key.startswith("nodes/")],
    ],
    ids=["all", "index", "bad index", "bad pointer", "pointer", "blobs", "bad blobs", "pointers"],
)
def test_publishing_again_mends_whatever_was_lost_or_damaged(
    place: ModelPlace, publish: Callable[..., Published], damage: Callable[[object], None]
) -> None:
    publish(place, OLD)
    damage(place.values)

    publish(place, OLD, NOW + 1, again=True)

    check(place.values, OLD)


@pytest.mark.parametrize("key", ["index", "nodes/a", "nodes/b"])
def test_without_its_index_or_with_a_lost_shard_what_is_there_is_looked_at_itself(
    place: ModelPlace, publish: Callable[..., Published], key: str
) -> None:
    publish(place, OLD)
    place.values.pop("index")
    place.values.pop(key, None)
    place.values["nodes/stray"] = b"from somebody else"

    done = publish(place, NEW, NOW + 1)

    assert place.values.pop("nodes/stray") == b"from somebody else"
    check(place.values, NEW)
    assert done.removed == ("c",)


def test_pieces_that_a_forged_pointer_names_are_not_taken_for_there(
    place: ModelPlace, publish: Callable[..., Published]
) -> None:
    """Who may write a pointer could otherwise make the next publication leave out its content."""
    publish(place, NEW)
    forged = place.values["nodes/a"]
    place.values.clear()
    publish(place, OLD, NOW + 1)
    place.values["nodes/a"] = forged

    publish(place, NEW, NOW + 2)

    check(place.values, NEW)


def test_a_place_of_another_mesh_is_not_written_over(
    place: ModelPlace, publish: Callable[..., Published], tmp_path: Path
) -> None:
    publish(place, OLD)
    text = (tmp_path / "out/manifest.json").read_text()
    (tmp_path / "out/manifest.json").write_text(text.replace(f'"{MESH}"', '"other"'))
    before = dict(place.values)

    with pytest.raises(BundleError, match='index is of mesh "shop", and this is "other"'):
        publish_out(place, tmp_path / "out", NOW + 1)

    assert place.values == before


def test_a_bundle_that_was_tampered_with_is_not_published(
    place: ModelPlace, tmp_path: Path
) -> None:
    NEW.write(tmp_path / "out")
    victim = tmp_path / "out/nodes/a/lds.json"
    victim.write_bytes(victim.read_bytes().replace(b"2", b"3"))

    with pytest.raises(BundleError, match="not the file that the manifest names"):
        publish_out(place, tmp_path / "out")

    assert nodes_of(place.values) == set()
