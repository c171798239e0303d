"""Endpoint files of the agent are, to the byte, those that a build would have written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshc.compile.emit import emit
from meshc.compile.endpoint import endpoints_resource
from meshc.compile.resources import ResourceSet
from meshc.delivery.agent.health.assignment import Address, Assignment
from meshc.delivery.errors import DeliveryError
from meshc.model.mesh import Address as Place
from meshc.model.mesh import Locality, ServiceName
from meshc.plan.types import EndpointPlan, EndpointsPlan
from tests.delivery.health.entries import file

if TYPE_CHECKING:
    from meshc.spec.origin import Origin

NOWHERE = cast("Origin", None)
PATH = "services/app/eds@front.json"


@st.composite
def endpoints(draw: st.DrawFn) -> tuple[EndpointPlan, ...]:
    """Hosts of a service, with labels in whatever language."""
    places = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["10.0.0.1", "10.0.0.2", "fd00::1", "192.0.2.7"]),
                st.integers(1, 65_535),
            ),
            unique=True,
            min_size=1,
            max_size=8,
        )
    )
    texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    return tuple(
        EndpointPlan(
            name=f"host-{number}",
            address=Place(*place),
            weight=draw(st.sampled_from([1, 2, 128])),
            locality=draw(st.sampled_from([Locality(), Locality("eu"), Locality("eu", "a")])),
            labels=draw(st.dictionaries(texts, texts, max_size=3)),
            origin=NOWHERE,
        )
        for number, place in enumerate(places)
    )


def built(hosts: tuple[EndpointPlan, ...]) -> bytes:
    plan = EndpointsPlan(
        service=ServiceName("app"),
        endpoints=hosts,
        has_dns_names=False,
        is_external=False,
        consumer=ServiceName("front"),
        origin=NOWHERE,
    )
    return emit(ResourceSet((endpoints_resource(plan),)))


@pytest.mark.property
@given(endpoints())
def test_a_file_that_is_read_and_written_is_the_same(hosts: tuple[EndpointPlan, ...]) -> None:
    data = built(hosts)

    assert Assignment.parse(PATH, data).emit() == data


@pytest.mark.property
@given(st.data(), endpoints())
def test_some_of_the_endpoints_are_what_a_build_of_some_of_the_hosts_gives(
    data: st.DataObject, hosts: tuple[EndpointPlan, ...]
) -> None:
    kept = data.draw(st.lists(st.sampled_from(hosts), unique_by=lambda one: one.name))
    wanted = tuple(host for host in hosts if host in kept)

    found = Assignment.parse(PATH, built(hosts)).only({Address(*one.address) for one in kept})

    assert found.emit() == built(wanted)


def test_without_endpoints_it_is_what_a_build_gives_for_a_service_without_hosts() -> None:
    assert Assignment.of("app@front", []).emit() == built(())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b'{"resources": []}',
        b'{"resources": [{"@type": "x", "cluster_name": "a"}]}',
        file("10.0.0.1").replace(b'"cluster_name": "app@front"', b'"cluster_name": 5'),
        file("10.0.0.1").replace(b'"port_value": 80', b'"port": 80'),
        json.dumps({"resources": [{}, {}]}).encode(),
        b"[" * 100_000,
    ],
)
def test_what_is_no_file_of_endpoints_is_refused(data: bytes) -> None:
    with pytest.raises(DeliveryError, match="no file of endpoints"):
        Assignment.parse(PATH, data)
