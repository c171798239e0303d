"""What is no change for Envoy changes no byte; what changes, changes no other file."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.property.meshes import (
    Documents,
    copied,
    is_settings,
    meshes,
    name_of,
    services_of,
    shuffled,
)
from tests.property.running import build_in, files_of, folder, tries

pytestmark = pytest.mark.property

LONER = {
    "protocol": "HTTP",
    "hosts": [
        {
            "name": "loner-1",
            "ingressAddr": {"host": "10.250.0.1", "port": 61_234},
            "substanceAddr": {"host": "127.0.0.1", "port": 61_235},
        }
    ],
}


def without_origins(files: dict[str, bytes]) -> dict[str, Any]:
    """All files; of the manifest what it says beside places in specs."""
    found: dict[str, Any] = dict(files)
    manifest = json.loads(found["manifest.json"])
    del manifest["origins"]
    found["manifest.json"] = manifest
    return found


def different(one: dict[str, bytes], other: dict[str, bytes]) -> set[str]:
    return {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}


@tries(20)
@given(data=st.data(), documents=meshes(has_consul=True))
def test_order_changes_nothing_but_places(data: st.DataObject, documents: Documents) -> None:
    order = data.draw(st.permutations(sorted(documents)))
    other = {name: data.draw(shuffled(documents[name])) for name in order}

    before, after = files_of(documents), files_of(other)

    assert without_origins(before) == without_origins(after)
    assert different(before, after) <= {"manifest.json"}


@tries(15)
@given(documents=meshes(has_consul=True), styles=st.tuples(st.integers(0, 9), st.integers(0, 9)))
def test_the_way_of_writing_changes_nothing_but_places(
    documents: Documents, styles: tuple[int, int]
) -> None:
    before, after = (files_of(documents, style) for style in styles)

    assert without_origins(before) == without_origins(after)


@tries(10)
@given(documents=meshes(has_consul=True))
def test_a_file_that_moves_changes_nothing_but_places(documents: Documents) -> None:
    moved = {
        name if is_settings(name) else f"moved/{name}": document
        for name, document in documents.items()
    }

    assert without_origins(files_of(documents)) == without_origins(files_of(moved))


@tries(10)
@given(documents=meshes(has_consul=True))
def test_building_twice_gives_the_same_bytes(documents: Documents) -> None:
    assert files_of(documents) == files_of(documents)


@tries(20)
@given(documents=meshes(has_consul=True))
def test_an_unrelated_service_touches_no_other_file(documents: Documents) -> None:
    assume("loner" not in (name.lower() for name in services_of(documents)))
    before = files_of(documents)

    after = files_of(documents | {"loner.yaml": LONER})

    changed = different(before, after)
    assert {name for name in changed if not name.startswith(("services/loner/", "nodes/loner-1/"))}
    assert (
        changed
        - {
            "manifest.json",
            "nodes/loner-1/bootstrap.json",
            "nodes/loner-1/cds.json",
            "nodes/loner-1/lds.json",
            "services/loner/eds.json",
            "services/loner/instances.json",
            "services/loner/rds-inbound.json",
            "services/loner/rds-outbound.json",
        }
        == set()
    )
    for section in ("services", "nodes", "origins"):
        old, new = (json.loads(files["manifest.json"])[section] for files in (before, after))
        assert {name: new[name] for name in old} == old


@tries(15)
@given(documents=meshes(has_consul=True))
def test_a_removed_service_takes_its_own_files_and_no_other(documents: Documents) -> None:
    assume("loner" not in (name.lower() for name in services_of(documents)))
    with folder() as path:
        build_in(path, documents | {"loner.yaml": LONER})
        (path / "specs" / "loner.yaml").unlink()
        (path / "specs").rename(path / "old")

        result = build_in(path, documents)

        assert result.changed == ("manifest.json",)
        assert all(
            name.startswith(("services/loner/", "nodes/loner-1/")) for name in result.removed
        )
        assert "nodes/loner-1/lds.json" in result.removed


@tries(25)
@given(data=st.data(), documents=meshes(smallest=2, has_consul=True))
def test_a_new_host_changes_its_services_endpoints_and_its_own_files(
    data: st.DataObject, documents: Documents
) -> None:
    files = [
        file
        for file, document in sorted(documents.items())
        if not is_settings(file)
        and not any("externalAddr" in host for host in document.get("hosts", []))
    ]
    assume(files)
    file = data.draw(st.sampled_from(files))
    service = name_of(file, documents[file])
    settings = next((name for name in documents if is_settings(name)), "mesh.yaml")
    documents[settings] = documents.get(settings, {}) | {"endpoints": "file"}
    other = copied(documents)
    other[file].setdefault("hosts", []).append({**LONER["hosts"][0], "egressHost": "10.250.0.1"})  # type: ignore[dict-item]

    changed = different(files_of(documents), files_of(other))

    routes = {f"services/{service}/rds-inbound.json"}
    is_first = not documents[file].get("hosts")
    following = {
        f"services/{service}/eds@{name}.json"
        for name, place in services_of(documents).items()
        for call in documents[place].get("dependentServices", [])
        if call["name"] == service and "health" in call
    }
    assert changed - (routes if is_first else set()) == {
        "manifest.json",
        *following,
        f"services/{service}/eds.json",
        f"services/{service}/instances.json",
        "nodes/loner-1/bootstrap.json",
        "nodes/loner-1/cds.json",
        "nodes/loner-1/lds.json",
    }


@tries(15)
@given(documents=meshes(smallest=2, has_consul=True))
def test_a_caller_that_overrides_something_leaves_other_callers_alone(
    documents: Documents,
) -> None:
    """Overriding gives the caller its own copies; everything that is shared stays as it was."""
    name, file = next(iter(sorted(services_of(documents).items())))
    assume("loner" not in (other.lower() for other in services_of(documents)))
    caller: dict[str, Any] = {**LONER, "dependentServices": [{"name": name, "egressPort": 61_236}]}
    overriding = copied({"loner.yaml": caller})["loner.yaml"]
    overriding["dependentServices"][0]["timeouts"] = {"connect": "7s", "idle": "3s"}
    before = files_of(documents | {"loner.yaml": caller})

    after = files_of(documents | {"loner.yaml": overriding})

    allowed = {"manifest.json", "nodes/loner-1/cds.json", "nodes/loner-1/lds.json"}
    assert different(before, after) - allowed <= {f"services/{name}/rds-outbound@loner.json"}
    assert documents[file]
