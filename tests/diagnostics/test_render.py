from __future__ import annotations

import json

from meshc.diagnostics import Diagnostic, DiagnosticSink, Related, Span
from meshc.diagnostics.render import render_github, render_json, render_sarif, render_text

TEXTS = {"app.yaml": "protocol: HTTP\nhosts:\n- name:\tap\x1b[31mp1\n"}
CLASH = Diagnostic(
    code="MC304",
    message='host "app1" is listed twice in service "app"',
    span=Span("app.yaml", 3, 9, 3, 11),
    hint="one host runs a service once",
    related=(Related(Span("app.yaml", 1, 1, 3, 2), "the first entry"),),
)


def test_text_has_place_excerpt_caret_hint_and_related_places() -> None:
    assert render_text([CLASH], TEXTS, root="specs") == (
        'specs/app.yaml:3:9: error[MC304]: host "app1" is listed twice in service "app"\n'
        "    3 | - name:    ap?[31mp1\n"
        "      |            ^^\n"
        "  specs/app.yaml:1:1: the first entry\n"
        "    1 | protocol: HTTP\n"
        "      | ^^^^^^^^^^^^^^\n"
        "  hint: one host runs a service once\n"
    )


def test_a_finding_without_a_place_has_none() -> None:
    finding = Diagnostic(code="MC702", message="no Envoy was found")
    assert render_text([finding], {}, root="specs") == "warning[MC702]: no Envoy was found\n"


def test_a_long_line_is_cut_around_its_caret() -> None:
    texts = {"a.yaml": "x" * 500 + "here" + "y" * 500}
    finding = Diagnostic(code="MC101", message="no", span=Span("a.yaml", 1, 501, 1, 505))

    _, excerpt, caret = render_text([finding], texts, root="").rstrip("\n").split("\n")

    assert len(excerpt) < 180
    assert excerpt[caret.index("^") : caret.rindex("^") + 1] == "here"


def test_json_counts_errors_and_warnings() -> None:
    warning = Diagnostic(code="MC309", message="no hosts", span=Span("b.yaml", 1, 2, 3, 4))
    data = json.loads(render_json([CLASH, warning], root="specs"))

    assert (data["errors"], data["warnings"]) == (1, 1)
    assert data["diagnostics"][1] == {
        "code": "MC309",
        "severity": "warning",
        "message": "no hosts",
        "place": {
            "file": "specs/b.yaml",
            "line": 1,
            "column": 2,
            "end_line": 3,
            "end_column": 4,
        },
        "hint": None,
        "related": [],
    }


def test_sarif_names_rule_level_and_region() -> None:
    data = json.loads(render_sarif([CLASH], root="specs", version="1.2.3"))

    (run,) = data["runs"]
    assert data["version"] == "2.1.0"
    assert run["tool"]["driver"]["version"] == "1.2.3"
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["MC304"]
    (result,) = run["results"]
    assert (result["ruleId"], result["ruleIndex"], result["level"]) == ("MC304", 0, "error")
    assert result["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "specs/app.yaml"},
        "region": {"startLine": 3, "startColumn": 9, "endLine": 3, "endColumn": 11},
    }


def test_workflow_commands_are_one_line_each_whatever_the_text() -> None:
    finding = Diagnostic(
        code="MC101", message="100%\nsure", span=Span("a,b:c.yaml", 1, 2, 1, 3), hint="x"
    )
    assert render_github([finding], root="specs") == (
        "::error title=MC101 text that is not YAML or JSON,file=specs/a%2Cb%3Ac.yaml,"
        "line=1,col=2,endLine=1,endColumn=3::100%25%0Asure%0Ahint: x\n"
    )


def test_findings_come_sorted_and_once() -> None:
    sink = DiagnosticSink()
    sink.report("MC204", "later", at=Span("b.yaml", 1, 1, 1, 2))
    sink.report("MC309", "second", at=Span("a.yaml", 2, 1, 2, 2))
    sink.report("MC204", "later", at=Span("b.yaml", 1, 1, 1, 2))
    sink.report("MC204", "first", at=Span("a.yaml", 1, 9, 1, 10))

    assert [one.message for one in sink.sorted()] == ["first", "second", "later"]
    assert sink.has_errors
