"""Reading a store: what is a document in it, and what cannot be one."""

from __future__ import annotations

import pytest

from meshc.store.errors import StoreError
from tests.store.fake import FakeConsul
from tests.store.wishes import APP, FRONT, applied, held, snapshot

PREFIX = "meshc/v1/mesh/specs"
STAGED = b'{"format": 1, "revision": 1, "documents": 1, "stage": "s", "staged": 2}'


def test_a_store_that_nobody_has_written_is_empty() -> None:
    found = snapshot(FakeConsul())

    assert (found.documents, found.revision.number, found.index) == ({}, 0, 0)


def test_only_keys_below_the_folder_of_documents_are_documents() -> None:
    consul = FakeConsul()
    for key in (f"{PREFIX}/app", f"{PREFIX}-revisions", f"{PREFIX}s/other", f"{PREFIX}/"):
        consul.put(key, APP.encode())
    consul.put("meshc/v1/mesh2/specs/other", APP.encode())

    assert held(consul) == {"app": APP}


@pytest.mark.parametrize("name", ["team/app", "app.yaml", "a b", "x" * 65, "é"])
def test_a_key_that_is_no_name_is_refused(name: str) -> None:
    consul = FakeConsul()
    consul.put(f"{PREFIX}/{name}", APP.encode())

    with pytest.raises(StoreError, match="is no document of a mesh"):
        snapshot(consul)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"7",
        b"[]",
        b"{}",
        b'{"format": 1}',
        b'{"format": 1, "revision": "x"}',
        b"\xff",
        b"{" * 9,
    ],
)
def test_a_revision_that_is_none_is_refused(value: bytes) -> None:
    consul = FakeConsul()
    consul.put(f"{PREFIX}-revision", value)

    with pytest.raises(StoreError, match="is not what meshc writes there"):
        snapshot(consul)


@pytest.mark.parametrize(
    "value",
    [
        b'{"format": 2, "revision": 1, "documents": 0}',
        b'{"format": 1, "revision": 1, "documents": 0, "stage": 5}',
        b'{"format": 1, "revision": 1, "documents": 0, "stage": "a/b"}',
        b'{"format": 1, "revision": 1, "documents": 0, "stage": "a", "staged": "0"}',
    ],
)
def test_a_revision_of_another_version_is_refused(value: bytes) -> None:
    consul = FakeConsul()
    consul.put(f"{PREFIX}-revision", value)

    with pytest.raises(StoreError, match="a format that this version of meshc does not know"):
        snapshot(consul)


def test_a_stage_that_is_not_complete_is_refused() -> None:
    consul = FakeConsul()
    consul.put(f"{PREFIX}-staged/s/app", APP.encode())
    consul.put(f"{PREFIX}-revision", STAGED)

    with pytest.raises(StoreError, match="2 documents are staged, and there are 1"):
        snapshot(consul)


def test_a_stage_counts_only_if_the_revision_says_so() -> None:
    consul = FakeConsul()
    consul.put(f"{PREFIX}/app", APP.encode())
    consul.put(f"{PREFIX}-staged/s/app", b"")
    consul.put(f"{PREFIX}-staged/s/db", APP.encode())
    before = held(consul)
    consul.put(f"{PREFIX}-revision", STAGED)

    assert before == {"app": APP}
    assert held(consul) == {"db": APP}


def test_a_store_of_which_documents_are_missing_is_refused() -> None:
    consul = FakeConsul()
    applied(consul, {"app": APP, "front": FRONT})
    del consul.entries[f"{PREFIX}/app"]

    with pytest.raises(StoreError, match="is not complete: 1 of 2 documents can be read"):
        snapshot(consul)


def test_a_token_that_does_not_see_all_documents_is_refused() -> None:
    consul = FakeConsul(is_filtered=True)
    applied_by_others = FakeConsul()
    applied(applied_by_others, {"app": APP})
    consul.entries = applied_by_others.entries

    with pytest.raises(StoreError, match="this token may not read all of it"):
        snapshot(consul)
