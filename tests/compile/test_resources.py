"""Resources as bytes: one canonical form, a digest of it, files that Envoy reads."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from meshc.compile.emit import emit, emit_bootstrap, version_of
from meshc.compile.resources import BOOTSTRAP, CLUSTER, Resource, ResourceSet
from meshc.diagnostics import DiagnosticSink, InternalError
from meshc.spec.origin import Origin
from meshc.spec.source import read_source
from meshc.spec.yaml import parse_yaml

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Origin:
    path: Path = tmp_path_factory.mktemp("specs") / "app.yaml"
    path.write_text("protocol: HTTP\n")
    sink = DiagnosticSink()
    source = read_source(path, "app.yaml", sink)
    assert source is not None
    document = parse_yaml(source, sink)
    assert document is not None
    return Origin(document, ())


def cluster(origin: Origin, name: str, **fields: object) -> Resource:
    return Resource.of(CLUSTER, name, {"name": name, **fields}, origin)


def test_the_order_of_fields_means_nothing(origin: Origin) -> None:
    one = Resource.of(CLUSTER, "a", {"name": "a", "type": "EDS"}, origin)
    other = Resource.of(CLUSTER, "a", {"type": "EDS", "name": "a"}, origin)

    assert one.digest == other.digest
    assert one.body == other.body


def test_the_order_of_a_list_means_something(origin: Origin) -> None:
    one = cluster(origin, "a", filters=[{"name": "x"}, {"name": "y"}])
    other = cluster(origin, "a", filters=[{"name": "y"}, {"name": "x"}])

    assert one.digest != other.digest


def test_a_body_says_what_it_is(origin: Origin) -> None:
    body = json.loads(cluster(origin, "a").body)

    assert body == {"@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", "name": "a"}


def test_one_name_for_two_contents_is_a_mistake_of_ours(origin: Origin) -> None:
    with pytest.raises(InternalError, match="two different resources are named 'a'"):
        ResourceSet.of([cluster(origin, "a"), cluster(origin, "a", type="EDS")])


def test_a_set_is_sorted_and_has_equal_resources_once(origin: Origin) -> None:
    found = ResourceSet.of([cluster(origin, "b"), cluster(origin, "a"), cluster(origin, "b")])

    assert [resource.name for resource in found.resources] == ["a", "b"]


def test_a_file_is_a_response_with_the_digest_of_its_resources(origin: Origin) -> None:
    resources = ResourceSet.of([cluster(origin, "b"), cluster(origin, "a")])

    file = json.loads(emit(resources))

    assert list(file) == ["version_info", "resources"]
    assert file["version_info"] == version_of(resources)
    assert [resource["name"] for resource in file["resources"]] == ["a", "b"]


def test_a_version_changes_exactly_when_a_resource_does(origin: Origin) -> None:
    first = ResourceSet.of([cluster(origin, "a"), cluster(origin, "b")])
    same = ResourceSet.of([cluster(origin, "b"), cluster(origin, "a")])
    other = ResourceSet.of([cluster(origin, "a"), cluster(origin, "b", type="EDS")])

    assert version_of(first) == version_of(same)
    assert version_of(first) != version_of(other)


def test_a_file_without_resources_still_has_a_version_of_its_own() -> None:
    file = json.loads(emit(ResourceSet(())))

    assert file["resources"] == []
    assert len(file["version_info"]) == 32


def test_text_that_looks_like_the_layout_of_a_file_stays_text(origin: Origin) -> None:
    label = 'two\nlines,\n  "quoted" and \u2028 more'

    file = json.loads(emit(ResourceSet.of([cluster(origin, "a", alt_stat_name=label)])))

    assert file["resources"][0]["alt_stat_name"] == label


def test_a_bootstrap_is_the_bare_message(origin: Origin) -> None:
    resource = Resource.of(BOOTSTRAP, "web1", {"node": {"id": "web1"}}, origin)

    assert json.loads(emit_bootstrap(resource)) == {"node": {"id": "web1"}}
