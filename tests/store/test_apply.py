"""Applying and deleting: what is written, what is refused, what is no change."""

from __future__ import annotations

import pytest

from meshc.store.apply import change_store
from meshc.store.change import Wish
from meshc.store.errors import StoreError
from meshc.store.judge import MAX_DOCUMENT
from tests.store.fake import FakeConsul
from tests.store.wishes import (
    APP,
    APP_WITHOUT_MYAPP2,
    FRONT,
    STORE,
    applied,
    codes,
    deleted,
    held,
    numbered,
    snapshot,
    wish,
)


@pytest.fixture
def consul() -> FakeConsul:
    return FakeConsul()


@pytest.fixture
def article(consul: FakeConsul) -> FakeConsul:
    """A store with the two services of the article."""
    applied(consul, {"app": APP, "front": FRONT})
    consul.writes.clear()
    return consul


# Applying.


def test_a_document_is_kept_as_it_was_written(consul: FakeConsul) -> None:
    outcome = applied(consul, {"app": APP})

    assert outcome.has_changed
    assert consul.entries["meshc/v1/mesh/specs/app"].value == APP.encode()


def test_what_was_applied_before_is_not_written_again(article: FakeConsul) -> None:
    outcome = applied(article, {"app": APP})

    assert not outcome.has_changed
    assert outcome.plan.unchanged == ("app",)
    assert article.writes == []


def test_a_host_that_is_taken_out_is_a_change_of_its_service_alone(article: FakeConsul) -> None:
    before = article.entries["meshc/v1/mesh/specs/front"]

    outcome = applied(article, {"app": APP_WITHOUT_MYAPP2})

    assert [(change.name, change.kind) for change in outcome.plan.changes] == [("app", "changed")]
    assert held(article) == {"app": APP_WITHOUT_MYAPP2, "front": FRONT}
    assert article.entries["meshc/v1/mesh/specs/front"] == before


def test_a_new_document_is_told_from_a_changed_one(article: FakeConsul) -> None:
    outcome = applied(article, {"app": APP_WITHOUT_MYAPP2, "db": numbered(1)})

    assert [(change.name, change.kind) for change in outcome.plan.changes] == [
        ("app", "changed"),
        ("db", "created"),
    ]


def test_each_change_moves_the_revision_by_one(consul: FakeConsul) -> None:
    revisions = [applied(consul, {"app": text}).revision for text in (APP, APP, APP_WITHOUT_MYAPP2)]

    assert revisions == [1, 1, 2]


def test_several_documents_are_one_transaction(consul: FakeConsul) -> None:
    applied(consul, {"app": APP, "front": FRONT, "mesh": "name: mesh\n"})

    assert len(consul.writes) == 1
    assert sorted(held(consul)) == ["app", "front", "mesh"]


def test_a_dry_run_says_what_would_change_and_writes_nothing(article: FakeConsul) -> None:
    outcome = change_store(article, STORE, wish({"app": APP_WITHOUT_MYAPP2}), is_dry=True)

    assert outcome.has_changed
    assert article.writes == []


def test_a_text_that_says_the_same_is_stored_when_that_is_asked_for(article: FakeConsul) -> None:
    text = "# Another comment.\n" + APP

    assert not applied(article, {"app": text}).has_changed
    assert applied(article, {"app": text}, is_literal=True).has_changed
    assert held(article)["app"] == text


# What is refused.


def test_a_mistake_is_shown_in_the_file_that_has_it_and_nothing_is_stored(
    article: FakeConsul,
) -> None:
    broken = APP.replace("port: 9000", "port: 99999")

    outcome = applied(article, {"db": numbered(1), "app": broken})

    assert codes(outcome) == ["MC204 app.yaml:6:42", "MC204 app.yaml:9:42"]
    assert not outcome.has_changed
    assert article.writes == []


def test_an_unknown_key_is_a_mistake(article: FakeConsul) -> None:
    outcome = applied(article, {"app": APP + "dependantServices: []\n"})

    assert codes(outcome) == ["MC201 app.yaml:10:1"]
    assert article.writes == []


def test_a_mistake_that_shows_in_another_document_is_shown_there(article: FakeConsul) -> None:
    clash = FRONT.replace("front1", "other1").replace("- {name: app, egressPort: 9001}\n", "")
    clash = clash.replace("dependentServices:\n", "")

    outcome = applied(article, {"other": clash})

    (finding,) = outcome.judgement.diagnostics
    assert finding.code == "MC319"
    assert {str(finding.span), *(str(one.span) for one in finding.related)} == {
        "other.yaml:4:16",
        "consul:///mesh/front.yaml:4:16",
    }
    assert article.writes == []


def test_a_consumer_may_come_before_its_dependency_and_that_is_said(consul: FakeConsul) -> None:
    outcome = applied(consul, {"front": FRONT})

    (finding,) = outcome.judgement.diagnostics
    assert (finding.code, str(finding.span)) == ("MC330", "front.yaml:7:10")
    assert finding.message == 'dependency "app" is not in the store yet'
    assert outcome.has_changed
    assert codes(applied(consul, {"app": APP})) == []


def test_a_misspelt_dependency_is_told_from_a_later_one(article: FakeConsul) -> None:
    outcome = applied(article, {"front": FRONT.replace("name: app,", "name: apps,")})

    (finding,) = outcome.judgement.diagnostics
    assert (finding.code, finding.hint) == ("MC330", 'did you mean "app"?')


def test_what_only_consul_knows_needs_no_document(article: FakeConsul) -> None:
    calls = "- {name: old, egressPort: 9005, from: consul, protocol: TCP}\n"

    outcome = applied(article, {"front": FRONT + calls})

    assert codes(outcome) == []
    assert held(article)["front"] == FRONT + calls


def test_a_document_that_no_transaction_can_hold_is_refused(consul: FakeConsul) -> None:
    outcome = applied(consul, {"app": APP + "#" * (MAX_DOCUMENT - len(APP) + 1)})

    assert codes(outcome) == ["MC103 app.yaml:1:1"]
    assert consul.writes == []


def test_the_largest_document_that_is_accepted_fits(consul: FakeConsul) -> None:
    name, text = "x" * 64, APP + "#" * (MAX_DOCUMENT - len(APP))

    outcome = applied(consul, {name: text})

    assert outcome.has_changed
    assert outcome.is_settled
    assert consul.entries[f"meshc/v1/mesh/specs/{name}"].value == text.encode()


def test_two_files_for_one_service_are_refused(consul: FakeConsul) -> None:
    double = Wish(documents=(*wish({"app": APP}).documents, *wish({"app": FRONT}).documents))

    outcome = change_store(consul, STORE, double)

    assert "MC301" in [finding.code for finding in outcome.judgement.diagnostics]
    assert consul.writes == []


def test_a_name_in_the_document_must_be_the_one_that_it_is_stored_under(
    consul: FakeConsul,
) -> None:
    outcome = applied(consul, {"app": "name: shop\n" + APP})

    (finding,) = outcome.judgement.diagnostics
    assert (finding.code, str(finding.span)) == ("MC205", "app.yaml:1:7")
    assert consul.writes == []


def test_no_service_can_take_the_place_of_the_mesh(consul: FakeConsul) -> None:
    document = wish({"mesh": APP}).documents[0]
    service = Wish(documents=(type(document)(name="mesh", content=APP.encode(), shown="x.yaml"),))

    outcome = change_store(consul, STORE, service)

    assert codes(outcome) == ["MC205 x.yaml:2:1"]
    assert consul.writes == []


# The mesh.


def test_a_mesh_of_another_name_than_its_store_is_refused(consul: FakeConsul) -> None:
    outcome = applied(consul, {"mesh": "name: shop\n"})

    assert codes(outcome) == ["MC331 mesh.yaml:1:7"]
    assert consul.writes == []


def test_the_mesh_may_come_before_its_services(consul: FakeConsul) -> None:
    outcome = applied(consul, {"mesh": "name: mesh\n"})

    assert codes(outcome) == []
    assert outcome.has_changed


@pytest.mark.parametrize("more", [{}, {"mesh": "drainTime: 7s\n"}])
def test_a_mesh_without_a_name_has_that_of_its_store(
    consul: FakeConsul, more: dict[str, str]
) -> None:
    store = type(STORE)("consul:///shop", "shop", "", {})

    outcome = change_store(consul, store, wish({"app": APP, **more}))

    assert codes(outcome) == []
    assert outcome.has_changed


# Deleting.


def test_a_document_is_deleted_and_not_those_whose_names_begin_like_it(
    consul: FakeConsul,
) -> None:
    applied(consul, {"app1": numbered(1), "app10": numbered(10), "app1-b": numbered(11)})

    outcome = deleted(consul, "app1")

    assert outcome.has_changed
    assert held(consul) == {"app10": numbered(10), "app1-b": numbered(11)}


def test_what_is_gone_already_is_no_change(article: FakeConsul) -> None:
    outcome = deleted(article, "ap")

    assert not outcome.has_changed
    assert outcome.missing == ("ap",)
    assert article.writes == []


def test_a_service_that_others_call_is_not_deleted_and_they_are_named(
    article: FakeConsul,
) -> None:
    outcome = deleted(article, "app")

    assert codes(outcome) == ["MC306 consul:///mesh/front.yaml:7:10"]
    assert article.writes == []


def test_force_deletes_what_others_call(article: FakeConsul) -> None:
    outcome = deleted(article, "app", is_forced=True)

    assert codes(outcome) == ["MC330 consul:///mesh/front.yaml:7:10"]
    assert held(article) == {"front": FRONT}


def test_a_dependency_that_was_missing_before_is_no_reason_not_to_delete(
    consul: FakeConsul,
) -> None:
    applied(consul, {"front": FRONT, "db": numbered(1)})

    assert deleted(consul, "db").has_changed


def test_several_are_deleted_together_with_what_calls_them(article: FakeConsul) -> None:
    outcome = deleted(article, "app", "front")

    assert codes(outcome) == []
    assert held(article) == {}


# Importing.


def test_an_import_makes_the_store_what_the_folder_is(article: FakeConsul) -> None:
    outcome = applied(article, {"db": numbered(1)}, is_complete=True, may_prune=True)

    assert [(change.name, change.kind) for change in outcome.plan.changes] == [
        ("app", "deleted"),
        ("db", "created"),
        ("front", "deleted"),
    ]
    assert held(article) == {"db": numbered(1)}


def test_an_import_deletes_nothing_unless_that_is_asked_for(article: FakeConsul) -> None:
    with pytest.raises(StoreError, match="the folder does not have: front"):
        applied(article, {"app": APP}, is_complete=True)

    assert article.writes == []


def test_an_import_of_nothing_is_refused(article: FakeConsul) -> None:
    outcome = applied(article, {}, is_complete=True, may_prune=True)

    assert codes(outcome) == ["MC316"]
    assert article.writes == []


def test_documents_by_other_hands_are_part_of_the_mesh(consul: FakeConsul) -> None:
    consul.put("meshc/v1/mesh/specs/app", APP.encode())

    outcome = applied(consul, {"front": FRONT})

    assert codes(outcome) == []
    assert held(consul) == {"app": APP, "front": FRONT}
    assert snapshot(consul).revision.number == 1
