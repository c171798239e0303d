"""`meshc check`: findings for people, programs, code scanning and workflows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import User

TYPO = "protocol: HTTPP\n"


def test_good_specs_are_ok(user: User) -> None:
    answer = user.run("check")

    assert (answer.code, answer.out, answer.err) == (0, "ok: 2 services, 2 nodes\n", "")


def test_nothing_is_written(user: User) -> None:
    tree = user.tree()

    user.run("check")

    assert user.tree() == tree


def test_findings_go_to_standard_output_with_a_tally(user: User) -> None:
    user.write("specs/db.yaml", TYPO)

    answer = user.run("check")

    assert answer.code == 1
    assert answer.err == ""
    assert answer.out == (
        'specs/db.yaml:1:11: error[MC204]: "protocol" cannot be "HTTPP"\n'
        "    1 | protocol: HTTPP\n"
        "      |           ^^^^^\n"
        '  hint: did you mean "HTTP"?\n'
        "1 error in specs\n"
    )


def test_a_warning_is_no_failure(user: User) -> None:
    user.write("specs/db.yaml", "protocol: TCP\n")

    answer = user.run("check")

    assert answer.code == 0
    assert answer.out.endswith("1 warning in specs\nok: 2 services, 1 node\n")


def test_a_strict_check_fails_on_a_warning(user: User) -> None:
    user.write("specs/db.yaml", "protocol: TCP\n")

    assert user.run("check", "--strict").code == 1


def test_findings_as_json(user: User) -> None:
    user.write("specs/db.yaml", TYPO)

    data = json.loads(user.run("check", "--format", "json").out)

    assert (data["errors"], data["warnings"]) == (1, 0)
    (finding,) = data["diagnostics"]
    assert finding["code"] == "MC204"
    assert finding["place"]["file"] == "specs/db.yaml"


def test_no_findings_as_json(user: User) -> None:
    assert json.loads(user.run("check", "--format", "json").out) == {
        "errors": 0,
        "warnings": 0,
        "diagnostics": [],
    }


def test_findings_as_sarif(user: User) -> None:
    user.take_case("mistakes/many-at-once")

    answer = user.run("check", "--format", "sarif")

    log = json.loads(answer.out)
    assert answer.code == 1
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-2.1.0.json")
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert (driver["name"], run["columnKind"]) == ("meshc", "unicodeCodePoints")
    rules = driver["rules"]
    assert len(run["results"]) == 11
    for result in run["results"]:
        assert result["level"] == "error"
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["message"]["text"]
        (location,) = result["locations"]
        place = location["physicalLocation"]
        assert place["artifactLocation"]["uri"].startswith("specs/")
        region = place["region"]
        assert (region["startLine"], region["startColumn"]) < (
            region["endLine"],
            region["endColumn"],
        ) or region["startLine"] == region["endLine"]
    for rule in rules:
        assert rule["shortDescription"]["text"]
        assert rule["helpUri"].endswith(f"docs/diagnostics.md#{rule['id'].lower()}")


def test_a_file_name_with_a_space_is_a_uri_in_sarif(user: User) -> None:
    user.take_case("mistakes/invalid-file-name")

    log = json.loads(user.run("check", "--format", "sarif").out)

    place = log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "specs/my%20app.yaml"


def test_findings_as_annotations_of_a_workflow(user: User) -> None:
    user.write("specs/db.yaml", TYPO)

    answer = user.run("check", "--format", "github")

    assert answer.out == (
        "::error title=MC204 value out of range,file=specs/db.yaml,line=1,col=11,endLine=1,"
        'endColumn=16::"protocol" cannot be "HTTPP"%0Ahint: did you mean "HTTP"?\n'
    )


def test_percent_signs_and_commas_are_escaped_in_annotations(user: User) -> None:
    user.write("specs/db.yaml", "protocol: '50%,:'\n")

    answer = user.run("check", "--format", "github")

    assert '"protocol" cannot be "50%25,:"%0Ahint: allowed here' in answer.out


@pytest.mark.parametrize("output", ["json", "sarif", "github"])
def test_quiet_changes_nothing_for_programs_where_there_are_errors(user: User, output: str) -> None:
    user.write("specs/db.yaml", TYPO)

    loud = user.run("check", "--format", output)
    quiet = user.run("-q", "check", "--format", output)

    assert quiet == loud


def test_the_same_findings_in_the_same_order_every_time(user: User) -> None:
    user.take_case("mistakes/many-at-once")

    assert user.run("check").out == user.run("check").out
