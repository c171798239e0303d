"""From any state to any other, one run leads there and touches nothing of anybody else's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshc.delivery.register.entries import Found, FoundNode, FoundService, NodeEntry
from meshc.delivery.register.reconcile import (
    DropNode,
    DropService,
    PutNode,
    PutService,
    reconcile,
)
from tests.delivery.register.samples import entries, instance, renamed

if TYPE_CHECKING:
    from meshc.delivery.register.entries import ServiceEntry
    from meshc.delivery.register.reconcile import HostChange, Step

pytestmark = pytest.mark.property

NODES = [f"app{number}" for number in (1, 10, 2, 3)]
FOREIGN = frozenset({"theirs", "app1"})


@st.composite
def meshes(draw: st.DrawFn) -> tuple[NodeEntry, ...]:
    """Some hosts, each with some services at addresses that may move."""
    instances = []
    for node in draw(st.lists(st.sampled_from(NODES), unique=True)):
        address = f"10.0.0.{draw(st.integers(1, 2))}"
        for service in draw(st.sets(st.sampled_from(["app", "app1", "web"]), min_size=1)):
            port = draw(st.integers(80, 81))
            instances.append(instance(service, node, address, port=port))
    return entries("shop", *instances)


@dataclass(slots=True)
class Model:
    """A catalogue as Consul keeps one: a write names what it is to be written over."""

    nodes: dict[str, FoundNode]
    index: int = 100

    def found(self) -> Found:
        return Found(nodes=tuple(self.nodes.values()))

    def do(self, step: Step) -> None:
        self.index += 1
        match step:
            case PutNode(entry=entry, index=index):
                known = self.nodes.get(entry.name)
                assert index == (known.index if known else 0), "over what nobody has read"
                self.nodes[entry.name] = FoundNode(
                    name=entry.name,
                    node=entry.node,
                    address=entry.address,
                    meta=entry.meta,
                    index=self.index,
                    services=known.services if known else {},
                    foreign=known.foreign if known else frozenset(),
                )
            case PutService(node_name=name, entry=service, index=index):
                node = self.nodes[name]
                there = node.services.get(service.id)
                assert service.id not in node.foreign, "somebody else's"
                assert index == (there.index if there else 0), "over what nobody has read"
                new = FoundService(entry=service, index=self.index)
                self.nodes[name] = replace(node, services={**node.services, service.id: new})
            case DropService(node_name=name, found=gone):
                node = self.nodes[name]
                assert node.services[gone.entry.id].index == gone.index
                left = {key: one for key, one in node.services.items() if key != gone.entry.id}
                self.nodes[name] = replace(node, services=left)
            case DropNode(found=node):
                assert self.nodes[node.name].index == node.index
                assert not self.nodes[node.name].foreign, "what others have on it"
                del self.nodes[node.name]

    def run(self, hosts: tuple[HostChange, ...]) -> None:
        for host in hosts:
            for step in host.steps:
                self.do(step)


@st.composite
def catalogues(draw: st.DrawFn) -> Model:
    """What an earlier run left, whole or cut off, and what others did to it."""
    model = Model({})
    steps = [step for host in reconcile(draw(meshes()), Found()).hosts for step in host.steps]
    for step in steps[: draw(st.integers(0, len(steps)))]:
        model.do(step)
    for name, node in list(model.nodes.items()):
        foreign = draw(st.sampled_from([frozenset[str](), FOREIGN]))
        services = {
            key: FoundService(entry=draw(altered(one.entry)), index=one.index)
            for key, one in node.services.items()
            if draw(st.integers(0, 5))
        }
        address = draw(st.sampled_from([node.address, "10.9.9.9"]))
        model.nodes[name] = replace(node, foreign=foreign, services=services, address=address)
    return model


def altered(entry: ServiceEntry) -> st.SearchStrategy[ServiceEntry]:
    return st.sampled_from([entry, entry, renamed(entry, port=1), renamed(entry, tags=())])


def registered_as(model: Model) -> dict[str, tuple[object, ...]]:
    """Nodes that have something of ours, with all that matters about them."""
    return {
        name: (node.address, node.meta, {key: one.entry for key, one in node.services.items()})
        for name, node in model.nodes.items()
        if node.services or not node.foreign
    }


@given(model=catalogues(), desired=meshes())
def test_one_run_leads_from_any_state_to_any_other(
    model: Model, desired: tuple[NodeEntry, ...]
) -> None:
    model.run(reconcile(desired, model.found()).hosts)

    assert registered_as(model) == {
        node.name: (node.address, node.meta, {one.id: one for one in node.services})
        for node in desired
    }


@given(model=catalogues(), desired=meshes())
def test_what_others_have_on_a_node_is_never_touched(
    model: Model, desired: tuple[NodeEntry, ...]
) -> None:
    before = {name: node.foreign for name, node in model.nodes.items() if node.foreign}

    model.run(reconcile(desired, model.found()).hosts)

    after = {name: node.foreign for name, node in model.nodes.items() if node.foreign}
    assert after == before


@given(model=catalogues(), desired=meshes())
def test_a_second_run_has_nothing_to_do(model: Model, desired: tuple[NodeEntry, ...]) -> None:
    model.run(reconcile(desired, model.found()).hosts)

    again = reconcile(desired, model.found())

    assert again.hosts == ()
    assert again.unchanged == len(desired)


@given(model=catalogues(), desired=meshes(), data=st.data())
def test_a_run_that_is_cut_off_anywhere_is_finished_by_the_next(
    model: Model, desired: tuple[NodeEntry, ...], data: st.DataObject
) -> None:
    steps = [step for host in reconcile(desired, model.found()).hosts for step in host.steps]
    for step in steps[: data.draw(st.integers(0, len(steps)))]:
        model.do(step)

    model.run(reconcile(desired, model.found()).hosts)

    assert reconcile(desired, model.found()).hosts == ()
