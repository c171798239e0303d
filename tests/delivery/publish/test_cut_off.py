"""Publishers that are killed, or come at once, and any history of them."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshc.delivery.publish.plan import (
    PublishConflictError,
)
from tests.delivery.publish.bundles import HOUR, NEW, NOW, OLD, Mesh
from tests.delivery.publish.model_place import CutOffError, ModelPlace
from tests.delivery.publish.publishing import publish_to
from tests.delivery.publish.reader import blobs_of, check, files_of, nodes_of, orders

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from meshc.delivery.publish.publisher import Published


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
        times = orders(place.values)
        publish(place, then, NOW + 2)
        check(place.values, then)
        for node in before.keys() & then.nodes.keys():
            has_moved = before[node] != then.files(node)
            assert orders(place.values)[node] > times[node] or not has_moved


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

        assert blobs_of(place.values) == blobs_of(fresh.values), cut


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


def test_of_two_that_publish_at_once_the_later_one_fails_loudly(
    place: ModelPlace, publish: Callable[..., Published], tmp_path: Path
) -> None:
    """It has compared with what was there before; what the other has published stays."""
    publish(place, OLD)
    mesh = Mesh({"a": "9", "b": "9", "c": "9"}, OLD.services)

    def other() -> None:
        publish_to(place, mesh, tmp_path / "other", NOW + 1)

    place.before_lock = other
    with pytest.raises(PublishConflictError, match="somebody else has published"):
        publish(place, NEW, NOW + 2)

    check(place.values, mesh)


@pytest.mark.parametrize("cut", range(0, 16, 2))
def test_a_publisher_that_waited_for_one_that_was_killed_starts_over_if_that_moved_anything(
    place: ModelPlace, publish: Callable[..., Published], tmp_path: Path, cut: int
) -> None:
    publish(place, OLD)
    mesh = Mesh({"a": "9", "b": "9", "c": "9"}, OLD.services)

    def killed() -> None:
        place.left = cut
        with pytest.raises(CutOffError):
            publish_to(place, mesh, tmp_path / "other", NOW + 1)
        place.left = None

    place.before_lock = killed
    try:
        publish(place, NEW, NOW + 2)
    except PublishConflictError:
        publish(place, NEW, NOW + 3)

    check(place.values, NEW)


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
            check(place.values, mesh)
        if luck.random() < 0.2:
            snapshot = dict(place.values)
        elif luck.random() < 0.2:
            place.values = dict(snapshot)
            agents.clear()
        for node, order in orders(place.values).items():
            files_of(place.values, node)
            assert order >= agents.get(node, 0)
            agents[node] = order
    place.left = None
    mesh = any_mesh(luck)

    publish(place, mesh, now + 1, again=True)

    check(place.values, mesh)
    assert set(orders(place.values).values()) <= {max(orders(place.values).values(), default=0)}
