"""Whatever the documents are: findings with places inside the text, never an exception."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import currently_in_test_context, given, note
from hypothesis import strategies as st

from meshc.diagnostics import Diagnostic, DiagnosticSink, Span
from meshc.diagnostics.errors import MeshcError
from meshc.diagnostics.render import render_github, render_json, render_sarif, render_text
from meshc.pipeline import read_mesh
from meshc.spec.schema import MeshSpec, ServiceSpec
from tests.property.corruptions import walk
from tests.property.meshes import Documents, copied, meshes
from tests.property.running import folder, tries
from tests.property.writing import write

pytestmark = pytest.mark.property


def known_keys() -> list[str]:
    """Every key of the published schemas."""
    found: set[str] = set()
    for model in (MeshSpec, ServiceSpec):
        schema = model.model_json_schema(by_alias=True)
        for part in [schema, *schema["$defs"].values()]:
            found |= set(part.get("properties", {}))
    return sorted(found)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.sampled_from(
        ["HTTP", "TCP", "app", "5s", "10.0.0.1", "::", "0.0.0.0", "file", "maglev", "ingress", "x/"]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(known_keys()), st.text(max_size=3)), inner),
    ),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(st.sampled_from(known_keys()), VALUES, max_size=6)
FILES = st.sampled_from(["app.yaml", "b/app.json", "db.yml", "mesh.yaml", "mesh.json", "x y.yaml"])


def judge(texts: dict[str, str]) -> tuple[Diagnostic, ...]:
    """Read a folder of texts and check that whatever is said about it can be shown."""
    if currently_in_test_context():
        note(str(texts))
    with folder() as path:
        for name, text in texts.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(text.encode("utf-8", "surrogatepass"))
        sink = DiagnosticSink()
        try:
            read_mesh(path, sink)
        except MeshcError as error:
            pytest.fail(f"nothing was wrong with the world: {error}")
    found = sink.sorted()
    for finding in found:
        spans = [finding.span, *(related.span for related in finding.related)]
        for span in spans:
            assert span is None or is_inside(span, texts[span.file]), span
    shown = render_text(found, texts, root="specs")
    assert all(char == "\n" or char.isprintable() for char in shown), shown
    assert len(json.loads(render_json(found, root="specs"))["diagnostics"]) == len(found)
    sarif = json.loads(render_sarif(found, root=".", version="0"))
    assert len(sarif["runs"][0]["results"]) == len(found)
    assert len(render_github(found, root=".").splitlines()) == len(found)
    return found


def is_inside(span: Span, text: str) -> bool:
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    start, end = (span.line, span.column), (span.end_line, span.end_column)
    if not (1, 1) <= start <= end or span.end_line > len(lines):
        return False
    # The column after a line's last character is where its end stands; "\r\n" is one of two.
    return all(column <= len(lines[line - 1]) + 2 for line, column in (start, end))


@tries(150)
@given(st.dictionaries(FILES, st.text(max_size=60), min_size=1, max_size=3))
def test_any_text_gives_findings_and_never_an_exception(texts: dict[str, str]) -> None:
    judge(texts)


@tries(200)
@given(st.dictionaries(FILES, st.one_of(DOCUMENTS, VALUES), min_size=1, max_size=3))
def test_any_plain_data_gives_findings_and_never_an_exception(documents: dict[str, Any]) -> None:
    judge({name: write(data, name).text for name, data in documents.items()})


@tries(120)
@given(data=st.data(), documents=meshes(largest=3), style=st.integers(0, 9))
def test_a_mesh_with_foreign_values_in_it_gives_findings_and_never_an_exception(
    data: st.DataObject, documents: Documents, style: int
) -> None:
    wrong = copied(documents)
    for _ in range(data.draw(st.integers(1, 3))):
        file = data.draw(st.sampled_from(sorted(wrong)))
        places = [path for path, _ in walk(wrong[file]) if path]
        if not places:
            continue
        path = data.draw(st.sampled_from(places))
        target: Any = wrong[file]
        for part in path[:-1]:
            target = target[part]
        target[path[-1]] = data.draw(VALUES)

    judge({name: write(content, name, style).text for name, content in wrong.items()})


@tries(40)
@given(data=st.data(), documents=meshes(largest=3))
def test_a_text_that_ends_too_early_gives_findings_and_never_an_exception(
    data: st.DataObject, documents: Documents
) -> None:
    texts = {name: write(content, name).text for name, content in documents.items()}
    name = data.draw(st.sampled_from(sorted(texts)))
    texts[name] = texts[name][: data.draw(st.integers(0, len(texts[name])))]

    judge(texts)


def test_a_duplicate_key_with_a_terminal_escape_in_it_is_not_sent_to_the_terminal() -> None:
    text = '"\\e[31m": 1\n"\\e[31m": 2\n'

    found = judge({"app.yaml": text})

    assert [finding.code for finding in found] == ["MC102"]
