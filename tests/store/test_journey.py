"""`meshc svc` and `--specs consul://…` with a real Consul, as their users go about it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

import meshc
from meshc.cli.svc import command as svc
from tests.golden import read_tree
from tests.store.wishes import APP, APP_WITHOUT_MYAPP2, FRONT, numbered

if TYPE_CHECKING:
    from tests.store.conftest import User

pytestmark = pytest.mark.consul


@pytest.fixture
def article(user: User) -> User:
    """The two services of the article are stored and built."""
    user.write("app.yaml", APP)
    user.write("front.yaml", FRONT)
    assert user.run("svc", "apply", "-f", "app.yaml", "-f", "front.yaml").code == 0
    assert user.run("build").code == 0
    return user


def test_a_host_is_taken_out_and_its_callers_follow_untouched(article: User) -> None:
    before = article.stored()
    built = read_tree(article.folder / "out")
    article.write("app.yaml", APP_WITHOUT_MYAPP2)

    answer = article.run("svc", "apply", "app", "-f", "app.yaml")
    result = article.ask("build")

    assert (answer.code, answer.out, answer.err) == (0, "OK (Changed=true)\n", "")
    after = article.stored()
    assert {key.rpartition("/")[2] for key in after if after[key] != before[key]} == {
        "app",
        "specs-revision",
    }
    assert set(result["changed"]) == {
        "manifest.json",
        "services/app/eds.json",
        "services/app/instances.json",
    }
    assert set(result["removed"]) == {
        "nodes/myapp2/bootstrap.json",
        "nodes/myapp2/cds.json",
        "nodes/myapp2/lds.json",
    }
    endpoints = (article.folder / "out/services/app/eds.json").read_text()
    assert "192.168.34.71" in endpoints
    assert "192.168.34.72" not in endpoints
    assert b"192.168.34.72" in built["services/app/eds.json"]


def test_applied_once_more_nothing_moves_anywhere(article: User) -> None:
    article.write("app.yaml", APP_WITHOUT_MYAPP2)
    article.run("svc", "apply", "app", "-f", "app.yaml")
    article.run("build")
    keys, built = article.stored(), read_tree(article.folder / "out")

    answer = article.run("svc", "apply", "app", "-f", "app.yaml")
    result = article.ask("build")

    assert (answer.code, answer.out, answer.err) == (0, "OK (Changed=false)\n", "")
    assert article.stored() == keys
    assert (result["changed"], result["removed"]) == ([], [])
    assert read_tree(article.folder / "out") == built


def test_order_and_comments_are_no_change(article: User) -> None:
    hosts = APP[APP.index("- name: myapp1") :]
    second = hosts[hosts.index("- name: myapp2") :]
    turned = APP.replace(hosts, second + hosts.removesuffix(second))
    article.write("app.yaml", "# Turned round.\n" + turned)
    before = article.stored()

    assert article.run("svc", "apply", "app", "-f", "app.yaml").out == "OK (Changed=false)\n"

    assert article.stored() == before


def test_a_store_gives_the_bundle_that_its_export_gives(article: User) -> None:
    article.write("db.json", json.dumps({"protocol": "TCP", "hosts": []}))
    article.run("svc", "apply", "-f", "db.json")

    assert article.run("svc", "export", "specs").code == 0
    assert article.run("build", "--out", "one").code == 0
    assert article.run("build", "--out", "other", "--specs", "specs").code == 0

    assert sorted(path.name for path in (article.folder / "specs").iterdir()) == [
        "app.yaml",
        "db.json",
        "front.yaml",
        "mesh.yaml",
    ]
    assert read_tree(article.folder / "one") == read_tree(article.folder / "other")


def test_what_is_exported_and_imported_is_what_was_there(article: User) -> None:
    article.run("svc", "export", "specs")
    before = article.stored()

    assert article.run("svc", "import", "specs").out == "OK (Changed=false)\n"

    assert article.stored() == before


def test_a_second_build_has_everything_from_the_first(article: User) -> None:
    result = article.ask("build")

    assert result["changed"] == []
    assert result["checked_against_schema"] == 0


def test_a_folder_with_the_same_documents_needs_no_new_files(article: User) -> None:
    article.run("svc", "export", "specs")

    result = article.ask("build", "--specs", "specs")

    assert (result["changed"], result["removed"]) == ([], [])


def test_a_document_is_shown_as_it_was_written(article: User) -> None:
    assert article.run("svc", "show", "app").out == APP

    shown = article.ask("svc", "show", "app")

    assert (shown["name"], shown["file"], shown["document"]) == ("app", "app.yaml", APP)


def test_a_document_that_is_not_there_is_named_with_the_nearest(article: User) -> None:
    answer = article.run("svc", "show", "ap")

    assert (answer.code, answer.out) == (2, "")
    assert answer.err == 'error: there is no document "ap"\n  hint: did you mean "app"?\n'


def test_services_are_listed_with_what_they_are(article: User) -> None:
    listed = article.ask("svc", "list")

    assert listed["revision"] == 2
    assert [(one["name"], one["protocol"]) for one in listed["services"]] == [
        ("app", "HTTP"),
        ("front", "HTTP"),
    ]
    assert [one["hosts"] for one in listed["services"]] == [["myapp1", "myapp2"], ["front1"]]
    assert [one["dependencies"] for one in listed["services"]] == [[], ["app"]]
    # What sha256sum says of the text.
    assert listed["services"][0]["revision"] == "c62643cf44f6"


def test_the_list_is_a_table_for_people(article: User) -> None:
    lines = article.run("svc", "list").out.splitlines()

    assert lines[0].split() == ["SERVICE", "PROTOCOL", "HOSTS", "CALLS", "REVISION"]
    assert lines[1].split()[:5] == ["app", "HTTP", "myapp1,", "myapp2", "-"]
    assert lines[-1].startswith(f"{article.url}: 2 services, mesh.yaml ")
    assert lines[-1].endswith(", revision 2")


def test_a_terminal_obeys_nothing_that_somebody_has_stored(
    article: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = b"# \x1b]0;owned\x07\nprotocol: HTTP\n"
    article.client.kv_put(f"meshc/v1/{article.mesh}/specs/app", stored)

    in_a_file = article.run("svc", "show", "app").out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    seen = article.run("svc", "show", "app").out

    assert in_a_file == stored.decode()
    assert seen == "# \\x1b]0;owned\\x07\nprotocol: HTTP\n"


def test_a_document_that_was_broken_by_hand_is_listed_as_such(article: User) -> None:
    article.client.kv_put(f"meshc/v1/{article.mesh}/specs/app", b"protocol: HTPP\n")

    answer = article.run("svc", "list")

    assert answer.code == 1
    assert answer.out.splitlines()[1].split()[:2] == ["app", "?"]
    assert answer.err.startswith(f"{article.url}/app.yaml:1:11: error[MC204]: ")


def test_mistakes_in_a_store_are_shown_with_their_place_and_line(article: User) -> None:
    article.client.kv_put(f"meshc/v1/{article.mesh}/specs/app", b"# By hand.\nprotocol: HTPP\n")

    for command in ("build", "check"):
        answer = article.run(command)

        assert answer.code == 1
        text = answer.err if command == "build" else answer.out
        assert text.startswith(
            f'{article.url}/app.yaml:2:11: error[MC204]: "protocol" cannot be "HTPP"\n'
            "    2 | protocol: HTPP\n"
            "      |           ^^^^\n"
            '  hint: did you mean "HTTP"?\n'
        )


def test_code_scanning_gets_the_address_of_a_document(article: User) -> None:
    article.client.kv_put(f"meshc/v1/{article.mesh}/specs/app", b"protocol: HTPP\n")

    found = json.loads(article.run("check", "--format", "sarif").out)

    (result,) = found["runs"][0]["results"]
    place = result["locations"][0]["physicalLocation"]["artifactLocation"]
    assert place["uri"] == f"{article.url}/app.yaml"


def test_a_resource_is_explained_by_its_place_in_the_store(article: User) -> None:
    answer = article.run("explain", "front1", "outbound/app@front")

    assert answer.code == 0
    assert f"from {article.url}/front.yaml:7:3\n" in answer.out


def test_a_bootstrap_comes_from_a_store_too(article: User) -> None:
    node = json.loads(article.run("bootstrap", "front1").out)["node"]

    assert (node["id"], node["cluster"]) == ("front1", "front")


def test_deleting_takes_exactly_one(user: User) -> None:
    for number in (1, 10):
        user.write(f"app{number}.yaml", numbered(number))
    user.run("svc", "apply", "-f", "app1.yaml", "-f", "app10.yaml")

    answer = user.run("svc", "delete", "app1")
    again = user.run("svc", "delete", "app1")

    assert (answer.code, answer.out) == (0, "OK (Changed=true)\n")
    assert (again.code, again.out) == (0, "OK (Changed=false)\n")
    assert again.err == 'there is no document "app1" (did you mean "app10"?)\n'
    assert user.run("svc", "show", "app10").out == numbered(10)


def test_a_service_that_is_called_is_deleted_by_force_only(article: User) -> None:
    before = article.stored()

    refused = article.run("svc", "delete", "app")

    assert (refused.code, refused.out) == (1, "")
    assert refused.err == (
        f'{article.url}/front.yaml:7:10: error[MC306]: dependency "app" would be gone\n'
        "    7 | - {name: app, egressPort: 9001}\n"
        "      |          ^^^\n"
        '  hint: take the dependency out first, or delete "app" with --force\n'
        "1 error; nothing was stored\n"
    )
    assert article.stored() == before
    assert article.run("svc", "delete", "app", "--force").code == 0


def test_a_mistake_is_refused_with_its_place_and_nothing_is_stored(article: User) -> None:
    article.write("app.yaml", APP.replace("protocol: HTTP", "protocl: HTTP"))
    before = article.stored()

    answer = article.run("svc", "apply", "app", "-f", "app.yaml")

    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith('app.yaml:2:1: error[MC201]: unknown key "protocl"\n')
    assert answer.err.endswith("2 errors; nothing was stored\n")
    assert article.stored() == before


def test_a_refusal_is_data_as_well(article: User) -> None:
    article.write("app.yaml", "protocol: HTPP\n")

    answer = article.run("svc", "apply", "app", "-f", "app.yaml", "--format", "json")

    data = json.loads(answer.out)
    assert answer.code == 1
    assert (data["ok"], data["changed"], data["revision"]) == (False, False, 2)
    assert [one["code"] for one in data["diagnostics"]] == ["MC204"]


def test_a_check_says_what_would_change_and_writes_nothing(article: User) -> None:
    article.write("app.yaml", APP_WITHOUT_MYAPP2)
    before = article.stored()

    answer = article.run("svc", "apply", "-f", "app.yaml", "-f", "front.yaml", "--check")

    assert answer.code == 1
    assert answer.out == "CHECK (Changed=true)\n  changed   app\n"
    assert article.stored() == before


def test_a_large_folder_is_imported_in_one_step(user: User) -> None:
    for number in range(150):
        user.write(f"specs/s{number}.yaml", numbered(number))
    user.write("specs/mesh.yaml", f"name: {user.mesh}\n")

    answer = user.run("svc", "import", "specs")

    lines = answer.out.splitlines()
    assert (answer.code, lines[0]) == (0, "OK (Changed=true)")
    assert (len(lines), lines[-1]) == (22, "  … and 130 more")
    assert len(user.ask("svc", "list")["services"]) == 150
    assert {key.rpartition("/")[0].rpartition("/")[2] for key in user.stored()} == {
        user.mesh,
        "specs",
    }
    assert user.run("build", "--out", "one").code == 0
    assert user.run("build", "--out", "other", "--specs", "specs").code == 0
    assert read_tree(user.folder / "one") == read_tree(user.folder / "other")


# How it is called.


def test_each_command_has_help_an_example_and_a_place_in_the_documentation() -> None:
    page = (Path(meshc.__file__).parent.parent / "docs" / "consul.md").read_text()
    assert list(svc.commands) == ["apply", "delete", "import", "export", "show", "list"]

    for name, found in svc.commands.items():
        assert found.help
        assert f"meshc svc {name}" in (found.epilog or "")
        assert f"`meshc svc {name}" in page
        options = [one for one in found.params if isinstance(one, click.Option)]
        assert [one.name for one in options if not one.help] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("apply", "app"), "Missing option '-f' / '--file'"),
        (("apply", "a/b", "-f", "app.yaml"), '"a/b" is not a valid name'),
        (("apply", "app", "-f", "app.yaml", "-f", "front.yaml"), "NAME is for one document"),
        (("apply", "app", "-f", "."), "NAME is for one document"),
        (("apply", "-f", "-"), "Standard input has no name"),
        (("list", "--specs", "specs"), '"specs" is a folder'),
        (("list", "--specs", "consul://127.0.0.1:1"), "does not say which mesh"),
        (("list", "--specs", "consul:///a/b"), "is no name of a mesh"),
        (("delete",), "Missing argument 'NAME...'"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(
    article: User, arguments: tuple[str, ...], message: str
) -> None:
    answer = article.run("svc", *arguments)

    assert answer.code == 2
    assert message in answer.err
    assert "Changed" not in answer.out


def test_a_wrong_address_of_a_mesh_is_a_wrong_call_of_every_command(user: User) -> None:
    answer = user.run("build", "--specs", "consul://127.0.0.1:1")

    assert answer.code == 2
    assert "does not say which mesh" in answer.err


def test_the_settings_file_may_name_the_store(
    article: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MESHC_SPECS")
    article.write("meshc.toml", f'specs = "{article.url}"\n')

    assert article.run("svc", "show", "app").out == APP
    assert article.run("check").code == 0


def test_consuls_own_variables_say_where_it_is(
    article: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, _, mesh = article.url.removeprefix("consul://").partition("/")
    monkeypatch.setenv("CONSUL_HTTP_ADDR", place)

    assert article.run("svc", "show", "app", "--specs", f"consul:///{mesh}").out == APP
    assert article.run("check", "--specs", f"consul:///{mesh}").code == 0
