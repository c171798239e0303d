"""Publishing: what is written, in which order, and what is left where it is cut off."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshc.artifact.publication import parse_index
from meshc.artifact.published import FUTURE_MS
from meshc.delivery.publish.local import LocalBundle
from meshc.delivery.publish.plan import (
    Bounds,
    PublishConflictError,
    PublishError,
    PublishRefusedError,
)
from meshc.delivery.publish.publisher import Published, Publisher, Wishes
from meshc.diagnostics.errors import BundleError
from tests.delivery.publish.bundles import MESH, Mesh
from tests.delivery.publish.model_place import CutOffError, ModelPlace
from tests.delivery.publish.reader import files_of, nodes_of, pointer_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = 1_764_000_000_000
HOUR = 3_600_000
OLD = Mesh({"a": "1", "b": "1", "c": "1"}, {"app": "1", "store": "1"})
NEW = Mesh({"a": "2", "b": "1", "d": "1"}, {"app": "2", "store": "1"})
ANY = Bounds(may_shrink=True, may_be_empty=True)


@pytest.fixture
def place() -> ModelPlace:
    return ModelPlace()


@pytest.fixture
def publish(tmp_path: Path) -> Callable[..., Published]:
    def published(place: ModelPlace, mesh: Mesh, now: int = NOW, **wishes: object) -> Published:
        mesh.write(tmp_path / "out")
        given: dict[str, object] = {"bounds": ANY} | wishes
        publisher = Publisher(
            LocalBundle(tmp_path / "out"),
            place,
            Wishes(**given),  # type: ignore[arg-type]
            progress=lambda _done, _total: None,
        )
        return publisher.publish(now)

    return published


def check(place: ModelPlace, mesh: Mesh) -> None:
    """Every node reads what it must, and nobody else is there."""
    assert nodes_of(place.values) == mesh.nodes.keys()
    for node in mesh.nodes:
        assert files_of(place.values, node) == mesh.files(node)


def orders(place: ModelPlace) -> dict[str, int]:
    return {node: pointer_of(place.values, node).order for node in nodes_of(place.values)}


def test_every_node_reads_what_was_built(
    place: ModelPlace, publish: Callable[..., Published]
) -> None:
    done = publish(place, OLD)

    check(place, OLD)
    assert done.is_changed
    assert done.written == ("a", "b", "c")
    assert orders(place) == dict.fromkeys("abc", NOW)


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

    check(place, mesh)
    assert done.written == ("a",)
    assert orders(place) == {"a": NOW + 1, "b": NOW, "c": NOW}


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
    assert orders(place) == dict.fromkeys("abc", NOW + 5)


def test_a_publication_from_the_future_is_not_built_upon_unless_all_is_written_again(
    place: ModelPlace, publish: Callable[..., Published]
) -> None:
    publish(place, OLD, NOW + FUTURE_MS + 1)

    with pytest.raises(PublishError, match="7 days in the future"):
        publish(place, NEW, NOW)
    publish(place, NEW, NOW, again=True)

    assert orders(place) == dict.fromkeys("abd", NOW)


# --- what somebody else has done there --------------------------------------------------------


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

    check(place, OLD)


@pytest.mark.parametrize("key", ["index", "nodes/a", "nodes/b"])
def test_without_its_index_or_with_a_lost_shard_what_is_there_is_looked_at_itself(
    place: ModelPlace, publish: Callable[..., Published], key: str
) -> None:
    publish(place, OLD)
    place.values.pop("index")
    place.values.pop(key, None)
    place.values["nodes/stray"] = b"from somebody else"

    done = publish(place, NEW, NOW + 1)

    check(place, NEW)
    assert done.removed == ("c", "stray")


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

    check(place, NEW)


def test_a_place_of_another_mesh_is_not_written_over(
    place: ModelPlace, publish: Callable[..., Published], tmp_path: Path
) -> None:
    publish(place, OLD)
    text = (tmp_path / "out/manifest.json").read_text()
    (tmp_path / "out/manifest.json").write_text(text.replace(f'"{MESH}"', '"other"'))
    before = dict(place.values)

    with pytest.raises(BundleError, match='index is of mesh "shop", and this is "other"'):
        Publisher(
            LocalBundle(tmp_path / "out"), place, Wishes(), progress=lambda _done, _total: None
        ).publish(NOW + 1)

    assert place.values == before


def test_a_bundle_that_was_tampered_with_is_not_published(
    place: ModelPlace, tmp_path: Path
) -> None:
    NEW.write(tmp_path / "out")
    victim = tmp_path / "out/nodes/a/lds.json"
    victim.write_bytes(victim.read_bytes().replace(b"2", b"3"))

    with pytest.raises(BundleError, match="not the file that the manifest names"):
        Publisher(
            LocalBundle(tmp_path / "out"), place, Wishes(), progress=lambda _done, _total: None
        ).publish(NOW)

    assert nodes_of(place.values) == set()


# --- guards -----------------------------------------------------------------------------------


def mesh_of(count: int) -> Mesh:
    return Mesh({f"n{number}": "1" for number in range(count)})


def test_an_empty_mesh_is_refused_unless_it_is_allowed(
    place: ModelPlace, publish: Callable[..., Published]
) -> None:
    publish(place, OLD)
    empty = Mesh({}, {})

    with pytest.raises(PublishRefusedError, match="it has no nodes at all") as caught:
        publish(place, empty, NOW + 1, bounds=Bounds(may_shrink=True))
    check(place, OLD)
    publish(place, empty, NOW + 1, bounds=ANY)

    assert "--allow-empty" in str(caught.value.hint)
    assert nodes_of(place.values) == set()


@pytest.mark.parametrize(
    ("before", "after", "is_refused"), [(10, 6, True), (10, 7, False), (2, 1, False), (2, 0, True)]
)
def test_a_mesh_that_shrinks_too_much_is_refused(
    place: ModelPlace,
    publish: Callable[..., Published],
    *,
    before: int,
    after: int,
    is_refused: bool,
) -> None:
    publish(place, mesh_of(before))
    bounds = Bounds(may_be_empty=True)

    if is_refused:
        with pytest.raises(PublishRefusedError, match=f"{before - after} of {before} nodes go"):
            publish(place, mesh_of(after), NOW + 1, bounds=bounds)
        check(place, mesh_of(before))
    publish(place, mesh_of(after), NOW + 1, bounds=ANY)
    check(place, mesh_of(after))


def test_as_many_new_nodes_do_not_hide_that_the_old_ones_go(
    place: ModelPlace, publish: Callable[..., Published]
) -> None:
    publish(place, mesh_of(10))
    others = Mesh({f"other{number}": "1" for number in range(10)})

    with pytest.raises(PublishRefusedError, match="10 of 10 nodes go"):
        publish(place, others, NOW + 1, bounds=Bounds())


# --- what nobody uses any more ----------------------------------------------------------------


def blobs(place: ModelPlace) -> set[str]:
    return {key for key in place.values if key.startswith("blobs/")}


def test_what_nobody_uses_goes_after_the_grace_time_and_not_before(
    place: ModelPlace, publish: Callable[..., Published]
) -> None:
    publish(place, OLD)
    before = blobs(place)
    publish(place, NEW, NOW + 1, grace_ms=HOUR)

    early = publish(place, NEW, NOW + HOUR, grace_ms=HOUR)
    kept = blobs(place)
    late = publish(place, NEW, NOW + 2 * HOUR, grace_ms=HOUR)

    assert early.collected == 0
    assert before <= kept
    assert late.collected > 0
    fresh = ModelPlace()
    publish(fresh, NEW)
    assert blobs(place) == blobs(fresh)
    assert not [key for key in place.values if key.startswith("trash/")]


def test_what_came_into_use_again_meanwhile_stays(
    place: ModelPlace, publish: Callable[..., Published]
) -> None:
    publish(place, OLD)
    publish(place, NEW, NOW + 1, grace_ms=HOUR)
    publish(place, OLD, NOW + 2, grace_ms=HOUR)

    publish(place, OLD, NOW + 3 * HOUR, grace_ms=HOUR)

    check(place, OLD)


def test_what_went_out_of_use_twice_stays_for_the_grace_time_of_the_second_time(
    place: ModelPlace, publish: Callable[..., Published]
) -> None:
    publish(place, OLD)
    publish(place, NEW, NOW + 1, grace_ms=HOUR)
    publish(place, OLD, NOW + HOUR, grace_ms=HOUR)
    old = {key: place.values[key] for key in blobs(place)}
    publish(place, NEW, NOW + HOUR + 1, grace_ms=HOUR)
    values = dict(place.values)

    publish(place, NEW, NOW + HOUR + HOUR // 2, grace_ms=HOUR)

    assert old.keys() <= place.values.keys()
    assert files_of(place.values, "a") == files_of(values, "a")


# --- cut off ----------------------------------------------------------------------------------


def writes_of(publish: Callable[..., Published], *meshes: Mesh) -> int:
    place = ModelPlace()
    for number, mesh in enumerate(meshes):
        place.written = 0
        publish(place, mesh, NOW + number)
    return place.written


@pytest.mark.parametrize("then", [NEW, OLD, Mesh({"a": "3", "e": "1"}, {"app": "3"})])
def test_wherever_a_publication_is_cut_off_hosts_see_old_or_new_and_the_next_run_mends_it(
    publish: Callable[..., Published], then: Mesh
) -> None:
    """Also where the next run publishes something else than the one that was killed."""
    total = writes_of(publish, OLD, NEW)
    assert total > 10

    for cut in range(total):
        place = ModelPlace()
        publish(place, OLD)
        place.left = cut
        with pytest.raises(CutOffError):
            publish(place, NEW, NOW + 1)
        place.left = None

        for node in nodes_of(place.values):
            seen = files_of(place.values, node)
            whole = [mesh.files(node) for mesh in (OLD, NEW) if node in mesh.nodes]
            assert seen in whole, (cut, node)
        before = {node: files_of(place.values, node) for node in nodes_of(place.values)}
        times = orders(place)
        publish(place, then, NOW + 2)
        check(place, then)
        for node in before.keys() & then.nodes.keys():
            has_moved = before[node] != then.files(node)
            assert orders(place)[node] > times[node] or not has_moved


def test_wherever_a_publication_is_cut_off_nothing_stays_for_ever(
    publish: Callable[..., Published],
) -> None:
    total = writes_of(publish, OLD, NEW)
    fresh = ModelPlace()
    publish(fresh, OLD)

    for cut in range(total):
        place = ModelPlace()
        publish(place, OLD)
        place.left = cut
        with pytest.raises(CutOffError):
            publish(place, NEW, NOW + 1)
        place.left = None
        publish(place, OLD, NOW + 2, grace_ms=HOUR)

        publish(place, OLD, NOW + 3 * HOUR, grace_ms=HOUR)

        assert blobs(place) == blobs(fresh), cut


def test_a_collection_that_is_cut_off_is_ended_by_the_next(
    publish: Callable[..., Published],
) -> None:
    def published() -> ModelPlace:
        place = ModelPlace()
        publish(place, OLD)
        publish(place, NEW, NOW + 1)
        return place

    place = published()
    place.written = 0
    publish(place, NEW, NOW + 2 * HOUR, grace_ms=HOUR)
    total, wanted = place.written, dict(place.values)

    for cut in range(total):
        place = published()
        place.left = cut
        with pytest.raises(CutOffError):
            publish(place, NEW, NOW + 2 * HOUR, grace_ms=HOUR)
        place.left = None
        publish(place, NEW, NOW + 2 * HOUR, grace_ms=HOUR)

        assert place.values == wanted


def test_whoever_reads_at_any_moment_reads_whole_files_of_one_publication(
    place: ModelPlace, publish: Callable[..., Published]
) -> None:
    publish(place, OLD)
    seen: set[str] = set()

    def look() -> None:
        for node in nodes_of(place.values):
            files = files_of(place.values, node)
            [which] = [
                name
                for name, mesh in (("old", OLD), ("new", NEW))
                if node in mesh.nodes and mesh.files(node) == files
            ] or ["torn"]
            seen.add(which)

    place.after_each = look
    publish(place, NEW, NOW + 1)

    assert seen == {"old", "new"}


# --- two at once ------------------------------------------------------------------------------


def test_of_two_that_publish_at_once_the_later_one_fails_loudly(
    place: ModelPlace, publish: Callable[..., Published], tmp_path: Path
) -> None:
    """It has compared with what was there before; what the other has published stays."""
    publish(place, OLD)
    OLD.write(tmp_path / "other")
    mesh = Mesh({"a": "9", "b": "9", "c": "9"}, OLD.services)
    mesh.write(tmp_path / "other")

    def other() -> None:
        Publisher(
            LocalBundle(tmp_path / "other"),
            place,
            Wishes(bounds=ANY),
            progress=lambda _done, _total: None,
        ).publish(NOW + 1)

    place.before_lock = other
    with pytest.raises(PublishConflictError, match="somebody else has published"):
        publish(place, NEW, NOW + 2)

    check(place, mesh)


@pytest.mark.parametrize("cut", range(0, 16, 2))
def test_a_publisher_that_waited_for_one_that_was_killed_starts_over_if_that_moved_anything(
    place: ModelPlace, publish: Callable[..., Published], tmp_path: Path, cut: int
) -> None:
    publish(place, OLD)
    mesh = Mesh({"a": "9", "b": "9", "c": "9"}, OLD.services)
    mesh.write(tmp_path / "other")

    def killed() -> None:
        place.left = cut
        with pytest.raises(CutOffError):
            Publisher(
                LocalBundle(tmp_path / "other"),
                place,
                Wishes(bounds=ANY),
                progress=lambda _done, _total: None,
            ).publish(NOW + 1)
        place.left = None

    place.before_lock = killed
    try:
        publish(place, NEW, NOW + 2)
    except PublishConflictError:
        publish(place, NEW, NOW + 3)

    check(place, NEW)


# --- any history ------------------------------------------------------------------------------

NAMES = ("a", "b", "c", "d", "e", "web-1", "web_1")


def any_mesh(luck: random.Random) -> Mesh:
    services = {name: luck.choice("123") for name in ("app", "store", "queue")}
    nodes = {name: luck.choice("123") for name in NAMES if luck.random() < 0.7}
    calls = {
        node: tuple(name for name in services if luck.random() < 0.6)
        for node in nodes
        if luck.random() < 0.5
    }
    return Mesh(nodes, services, calls)


@pytest.mark.property
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32))
def test_after_any_history_the_next_publication_is_whole_and_never_goes_back_in_time(
    publish: Callable[..., Published], seed: int
) -> None:
    """Kills, snapshots that are restored, other content each time, collections in between."""
    luck = random.Random(seed)
    place = ModelPlace()
    snapshot: dict[str, bytes] = {}
    now = NOW
    agents: dict[str, int] = {}
    for _ in range(8):
        now += luck.choice((0, 1, HOUR, 30 * HOUR))
        mesh = any_mesh(luck)
        place.left = luck.randrange(40) if luck.random() < 0.4 else None
        try:
            publish(place, mesh, now, grace_ms=HOUR, again=luck.random() < 0.1)
        except CutOffError:
            pass
        else:
            check(place, mesh)
        if luck.random() < 0.2:
            snapshot = dict(place.values)
        elif luck.random() < 0.2:
            place.values = dict(snapshot)
            agents.clear()
        for node, order in orders(place).items():
            files_of(place.values, node)
            assert order >= agents.get(node, 0)
            agents[node] = order
    place.left = None
    mesh = any_mesh(luck)

    publish(place, mesh, now + 1, again=True)

    check(place, mesh)
    assert set(orders(place).values()) <= {max(orders(place).values(), default=0)}
