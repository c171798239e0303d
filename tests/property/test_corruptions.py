"""One mistake in a mesh that has none gives its code, at its place, and nothing else."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import assume, given, note
from hypothesis import strategies as st

from tests.property.corruptions import Corruption, Expected, NotApplicableError, Pick
from tests.property.meshes import Documents, copied, is_settings, meshes, name_of, services_of
from tests.property.running import Checked, build_in, check, folder, tries
from tests.property.writing import write
from tests.property.wrong_documents import DOCUMENTS, POLICIES
from tests.property.wrong_meshes import ADDRESSES, REFERENCES

pytestmark = pytest.mark.property


def place(checked: Checked, expected: Expected) -> tuple[str, str, int, int]:
    written = checked.written[expected.file]
    places = written.keys if expected.is_key else written.values
    return (expected.code, expected.file, *places[expected.path])


@pytest.mark.parametrize(
    "group",
    [
        pytest.param(REFERENCES, id="references"),
        pytest.param(ADDRESSES, id="addresses"),
        pytest.param(DOCUMENTS, id="documents"),
        pytest.param(POLICIES, id="policies"),
    ],
)
def test_one_mistake_is_reported_where_it_is_and_nothing_else(group: list[Corruption]) -> None:
    seen: Counter[str] = Counter()

    @tries(25)
    @given(
        data=st.data(),
        documents=meshes(smallest=3, largest=5, settings=st.just(True)),  # noqa: FBT003
        style=st.integers(0, 9),
    )
    def each_is_reported(data: st.DataObject, documents: Documents, style: int) -> None:
        before = check(documents)
        for corrupt in group:
            wrong = copied(documents)
            try:
                expected = corrupt(Pick(data, wrong))
            except NotApplicableError:
                continue
            note(f"{corrupt.__name__}: {expected}\n{wrong}")
            seen[corrupt.__name__] += 1

            after = check(wrong, style)

            assert after.errors == sorted(place(after, one) for one in expected), corrupt.__name__
            assert after.warned <= before.warned, corrupt.__name__

    each_is_reported()

    assert [corrupt.__name__ for corrupt in group if not seen[corrupt.__name__]] == []


@tries(15)
@given(data=st.data(), documents=meshes(smallest=3, largest=5), style=st.integers(0, 9))
def test_a_service_that_loses_its_hosts_is_reported_at_each_of_its_callers(
    data: st.DataObject, documents: Documents, style: int
) -> None:
    before = check(documents)
    called = {
        (file, index, dependency["name"])
        for file, document in documents.items()
        for index, dependency in enumerate(document.get("dependentServices", []))
    }
    name = data.draw(st.sampled_from(sorted(services_of(documents))))
    target = services_of(documents)[name]
    assume(bool(documents[target].get("hosts")))
    wrong = copied(documents)
    wrong[target]["hosts"] = []
    if any("externalAddr" in host for host in documents[target]["hosts"]):
        wrong[target].pop("dependentServices", None)

    after = check(wrong, style)

    assert after.errors == []
    expected = {
        place(after, Expected("MC309", file, ("dependentServices", index, "name")))
        for file, index, other in called
        if other == name
    }
    known = {
        place(after, Expected("MC309", file, ("dependentServices", index, "name")))
        for file, index, other in called
        if not documents[services_of(documents)[other]].get("hosts")
    }
    assert {found for found in after.warnings if found[0] == "MC309"} == expected | known
    assert {code for code, _ in after.warned - before.warned} <= {"MC309"}


@tries(10)
@given(
    meshes(protocols=("TCP",), largest=4, settings=st.just(True)),  # noqa: FBT003
    st.integers(0, 9),
    st.sampled_from([{"zipkin": {"host": "z"}}, {"openTelemetry": {"host": "::1"}}]),
)
def test_tracing_in_a_mesh_without_requests_is_reported_at_its_key(
    documents: Documents, style: int, tracing: dict[str, object]
) -> None:
    for file in [file for file in documents if is_settings(file)]:
        del documents[file]
    documents["mesh.yaml"] = {"name": "shop", "tracing": tracing}

    checked = check(documents, style)

    unused = place(checked, Expected("MC314", "mesh.yaml", ("tracing",), is_key=True))
    assert checked.errors == []
    assert [found for found in checked.warnings if found[0] != "MC309"] == [unused]


@tries(10)
@given(meshes(smallest=3), st.integers(0, 9))
def test_too_many_watched_files_are_reported_at_the_first_entry_of_each_host(
    documents: Documents, style: int
) -> None:
    """The files are counted in what Envoy is told to watch, not by the product."""
    settings = next((file for file in documents if is_settings(file)), "mesh.yaml")
    documents[settings] = documents.get(settings, {}) | {"routes": "file", "endpoints": "file"}
    watched: dict[str, int] = {}
    with folder() as path:
        build_in(path, documents, style=style)
        for node in (path / "out" / "nodes").glob("*"):
            files = [json.loads((node / name).read_bytes()) for name in ("lds.json", "cds.json")]
            routes, endpoints = (watched_in(file) for file in files)
            watched[node.name] = 2 + len(set(routes)) + len(endpoints)
    limit = max(watched.values(), default=0) - 1
    assume(limit >= 2)
    documents[settings]["limits"] = {"fileSubscriptions": limit}

    with folder() as path:
        found = build_in(path, documents, style=style).diagnostics

    expected = []
    for host_name, count in watched.items():
        if count > limit:
            _, place, index = min(
                (name_of(name, document), name, index)
                for name, document in documents.items()
                for index, host in enumerate(document.get("hosts", []))
                if host["name"] == host_name and "ingressAddr" in host
            )
            written = write(documents[place], place, style)
            expected.append((place, *written.values["hosts", index, "name"]))
    reported = [one.span for one in found if one.code == "MC401"]
    assert sorted((s.file, s.line, s.column) for s in reported if s is not None) == sorted(expected)


def watched_in(data: object) -> list[str]:
    """Paths of all files that a message tells Envoy to watch."""
    match data:
        case {"path_config_source": {"path": str(path)}}:
            return [path]
        case dict():
            return [path for value in data.values() for path in watched_in(value)]
        case list():
            return [path for value in data for path in watched_in(value)]
        case _:
            return []
