"""What the files of a build say about each other, read as Envoy reads them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshc.compile import names as product_names
from tests.property.meshes import Documents, meshes, services_of
from tests.property.running import files_of, tries
from tests.property.values import names

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.property

Json = Any


def walk(data: Json) -> Iterator[dict[str, Any]]:
    """Every mapping in a message."""
    if isinstance(data, dict):
        yield data
        for value in data.values():
            yield from walk(value)
    elif isinstance(data, list):
        for value in data:
            yield from walk(value)


def clusters_named_in(data: Json) -> set[str]:
    found = set()
    for part in walk(data):
        found |= {
            part[key] for key in ("cluster", "cluster_name", "collector_cluster") if key in part
        }
    return found


def watched_in(data: Json) -> list[tuple[str, str]]:
    """Names of resources that come from files, with the ends of their paths."""
    found = []
    for part in walk(data):
        for source, name in (
            ("eds_config", "service_name"),
            ("config_source", "route_config_name"),
        ):
            if source in part:
                path = part[source]["path_config_source"]["path"]
                found.append((part[name], path[path.index("services/") :]))
    return found


def parsed(files: dict[str, bytes]) -> dict[str, Json]:
    return {name: json.loads(data) for name, data in files.items()}


def nodes_of(files: dict[str, Json]) -> list[str]:
    return list(files["manifest.json"]["nodes"])


@tries(20)
@given(documents=meshes(smallest=2, has_consul=True))
def test_every_cluster_that_is_named_is_on_the_node(documents: Documents) -> None:
    files = parsed(files_of(documents))

    for node in nodes_of(files):
        listeners, clusters = files[f"nodes/{node}/lds.json"], files[f"nodes/{node}/cds.json"]
        wanted = clusters_named_in(listeners)
        for _, path in watched_in(listeners):
            wanted |= clusters_named_in(files[path])
        own = [cluster["name"] for cluster in clusters["resources"]]
        assert wanted == set(own)
        assert len(own) == len(set(own))


@tries(20)
@given(documents=meshes(smallest=2, has_consul=True))
def test_every_file_that_is_watched_is_there_and_holds_what_is_asked_for(
    documents: Documents,
) -> None:
    files = parsed(files_of(documents))

    for node in nodes_of(files):
        watched = watched_in(files[f"nodes/{node}/lds.json"])
        watched += watched_in(files[f"nodes/{node}/cds.json"])
        for name, path in watched:
            (resource,) = files[path]["resources"]
            assert resource.get("name", resource.get("cluster_name")) == name
        uses = files["manifest.json"]["nodes"][node]["uses"]
        listed = [f"services/{service}/{file}" for service in uses for file in uses[service]]
        read = {path for _, path in watched}
        # Rules stand beside the endpoints that they are about, for the agent.
        read |= {path.replace("/eds@", "/health@") for path in read if "/eds@" in path}
        assert sorted(listed) == sorted(read)


@tries(20)
@given(documents=meshes(smallest=2, has_consul=True))
def test_no_two_listeners_of_a_node_have_one_name_or_one_address(documents: Documents) -> None:
    files = parsed(files_of(documents))

    for node in nodes_of(files):
        listeners = files[f"nodes/{node}/lds.json"]["resources"]
        sockets = [listener["address"]["socket_address"] for listener in listeners]
        addresses = Counter((socket["address"], socket["port_value"]) for socket in sockets)
        assert all(count == 1 for count in addresses.values())
        assert len({listener["name"] for listener in listeners}) == len(listeners)


@tries(15)
@given(documents=meshes(has_consul=True))
def test_the_manifest_has_the_sha_256_of_every_file_and_no_other(documents: Documents) -> None:
    files = files_of(documents)
    manifest = json.loads(files["manifest.json"])

    digests = {
        f"{section}/{name}/{file}": digest
        for section in ("nodes", "services")
        for name, entry in manifest[section].items()
        for file, digest in entry.items()
        if file not in {"uses", "runs"}
    }

    assert digests == {
        name: hashlib.sha256(data).hexdigest()
        for name, data in files.items()
        if name != "manifest.json"
    }


@tries(15)
@given(documents=meshes(has_consul=True))
def test_every_service_and_inner_host_of_the_specs_is_in_the_manifest_and_nothing_else(
    documents: Documents,
) -> None:
    manifest = json.loads(files_of(documents)["manifest.json"])

    known = {
        call["name"]
        for document in documents.values()
        for call in document.get("dependentServices", [])
        if "from" in call
    }
    named = known | set(services_of(documents))
    assert set(manifest["services"]) == set(manifest["origins"]) == named
    assert set(manifest["nodes"]) == {
        host["name"]
        for document in documents.values()
        for host in document.get("hosts", [])
        if "ingressAddr" in host
    }


@tries(15)
@given(first=meshes(largest=4, has_consul=True), timeout=st.integers(1, 5))
def test_versions_differ_exactly_where_resources_differ(first: Documents, timeout: int) -> None:
    second = {name: dict(document) for name, document in first.items()}
    for document in second.values():
        if document.get("protocol"):
            document["timeouts"] = {"connect": f"{timeout}s"}

    versions: dict[str, set[str]] = {}
    contents: dict[str, set[str]] = {}
    for files in (parsed(files_of(first)), parsed(files_of(second))):
        for name, data in files.items():
            if name.endswith(("lds.json", "cds.json", "eds.json")) or "/rds-" in name:
                versions.setdefault(name, set()).add(data["version_info"])
                content = json.dumps(data["resources"], sort_keys=True)
                contents.setdefault(name, set()).add(content)

    assert {name: len(found) for name, found in versions.items()} == {
        name: len(found) for name, found in contents.items()
    }


# Few letters, so that joining two names often gives what joining two others gives.
CLOSE_NAMES = st.text("a-_", min_size=1, max_size=4)
IDENTITIES = st.tuples(
    st.sampled_from(["inbound", "outbound"]),
    st.one_of(CLOSE_NAMES, names()),
    st.one_of(st.none(), CLOSE_NAMES, names()),
)


@tries(200)
@given(st.lists(IDENTITIES, min_size=2, max_size=40, unique=True))
def test_different_identities_have_different_names(
    identities: list[tuple[str, str, str | None]],
) -> None:
    found = [product_names._name(*identity) for identity in identities]

    assert len(set(found)) == len(found)


@tries(20)
@given(documents=meshes(smallest=2, has_consul=True))
def test_a_name_means_one_thing_in_the_whole_mesh(documents: Documents) -> None:
    """Equal names of routes and shared clusters on different nodes are equal resources."""
    files = parsed(files_of(documents))
    seen: dict[tuple[str, str], str] = {}

    for name, data in files.items():
        if name.endswith(("cds.json", "eds.json")) or "/rds-" in name:
            for resource in data["resources"]:
                title = resource.get("name", resource.get("cluster_name"))
                if title.startswith("inbound/") and name.endswith("cds.json"):
                    continue  # where the application listens differs from host to host
                text = json.dumps(resource, sort_keys=True)
                assert seen.setdefault((resource["@type"], title), text) == text
