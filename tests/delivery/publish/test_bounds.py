"""A mesh that shrinks too much is refused; what nobody uses goes in its time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshc.delivery.publish.plan import (
    Bounds,
    PublishRefusedError,
)
from tests.delivery.publish.bundles import ANY, HOUR, NEW, NOW, OLD, Mesh
from tests.delivery.publish.model_place import ModelPlace
from tests.delivery.publish.reader import blobs_of, check, files_of, nodes_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshc.delivery.publish.publisher import Published


def mesh_of(count: int) -> Mesh:
    return Mesh({f"n{number}": "1" for number in range(count)})


def test_an_empty_mesh_is_refused_unless_it_is_allowed(
    place: ModelPlace, publish: Callable[..., Published]
) -> None:
    publish(place, OLD)
    empty = Mesh({}, {})

    with pytest.raises(PublishRefusedError, match="it has no nodes at all") as caught:
        publish(place, empty, NOW + 1, bounds=Bounds(may_shrink=True))
    check(place.values, OLD)
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
        check(place.values, mesh_of(before))
    publish(place, mesh_of(after), NOW + 1, bounds=ANY)
    check(place.values, mesh_of(after))


def test_as_many_new_nodes_do_not_hide_that_the_old_ones_go(
    place: ModelPlace, publish: Callable[..., Published]
) -> None:
    publish(place, mesh_of(10))
    others = Mesh({f"other{number}": "1" for number in range(10)})

    with pytest.raises(PublishRefusedError, match="10 of 10 nodes go"):
        publish(place, others, NOW + 1, bounds=Bounds())


def test_what_nobody_uses_goes_after_the_grace_time_and_not_before(
    place: ModelPlace, publish: Callable[..., Published]
) -> None:
    publish(place, OLD)
    before = blobs_of(place.values)
    publish(place, NEW, NOW + 1, grace_ms=HOUR)

    early = publish(place, NEW, NOW + HOUR, grace_ms=HOUR)
    kept = blobs_of(place.values)
    late = publish(place, NEW, NOW + 2 * HOUR, grace_ms=HOUR)

    assert early.collected == 0
    assert before <= kept
    assert late.collected > 0
    fresh = ModelPlace()
    publish(fresh, NEW)
    assert blobs_of(place.values) == blobs_of(fresh.values)
    assert not [key for key in place.values if key.startswith("trash/")]


def test_what_came_into_use_again_meanwhile_stays(
    place: ModelPlace, publish: Callable[..., Published]
) -> None:
    publish(place, OLD)
    publish(place, NEW, NOW + 1, grace_ms=HOUR)
    publish(place, OLD, NOW + 2, grace_ms=HOUR)

    publish(place, OLD, NOW + 3 * HOUR, grace_ms=HOUR)

    check(place.values, OLD)


def test_what_went_out_of_use_twice_stays_for_the_grace_time_of_the_second_time(
    place: ModelPlace, publish: Callable[..., Published]
) -> None:
    publish(place, OLD)
    publish(place, NEW, NOW + 1, grace_ms=HOUR)
    publish(place, OLD, NOW + HOUR, grace_ms=HOUR)
    old = {key: place.values[key] for key in blobs_of(place.values)}
    publish(place, NEW, NOW + HOUR + 1, grace_ms=HOUR)
    values = dict(place.values)

    publish(place, NEW, NOW + HOUR + HOUR // 2, grace_ms=HOUR)

    assert old.keys() <= place.values.keys()
    assert files_of(place.values, "a") == files_of(values, "a")
