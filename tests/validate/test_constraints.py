"""Resources against Envoy's schema: each once, reported where the specs caused them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshc.compile.resources import CLUSTER, Resource
from meshc.diagnostics import DiagnosticSink
from meshc.spec.origin import Origin
from meshc.spec.source import read_source
from meshc.spec.yaml import parse_yaml
from meshc.validate.constraints import SchemaCheck

if TYPE_CHECKING:
    from pathlib import Path


class Known(set[str]):
    """Digests in memory."""

    saved = False

    def save(self) -> None:
        self.saved = True


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    path = tmp_path / "app.yaml"
    path.write_text("protocol: HTTP\nhosts: []\n")
    sink = DiagnosticSink()
    source = read_source(path, "app.yaml", sink)
    assert source is not None
    document = parse_yaml(source, sink)
    assert document is not None
    return Origin(document, ("hosts",))


def cluster(origin: Origin, **fields: object) -> Resource:
    return Resource.of(CLUSTER, "outbound/app", {"name": "outbound/app", **fields}, origin)


def test_a_good_resource_has_no_findings_and_is_remembered(origin: Origin) -> None:
    known, sink = Known(), DiagnosticSink()
    resource = cluster(origin, connect_timeout="1s")

    SchemaCheck("1.40.0", known, sink).check(resource)

    assert sink.sorted() == ()
    assert known == {resource.digest}


def test_a_known_resource_is_not_checked_again(origin: Origin) -> None:
    resource = cluster(origin, no_such_field=1)
    check = SchemaCheck("1.40.0", Known({resource.digest}), DiagnosticSink())

    check.check(resource)

    assert check.checked == 0


def test_an_equal_resource_is_checked_once(origin: Origin) -> None:
    check = SchemaCheck("1.40.0", Known(), DiagnosticSink())

    check.check(cluster(origin))
    check.check(cluster(origin))

    assert check.checked == 1


@pytest.mark.parametrize(
    ("field", "value", "path"),
    [
        ("no_such_field", 1, "no_such_field"),
        ("connect_timeout", "soon", "connect_timeout"),
        ("connect_timeout", "0s", "connect_timeout"),
        ("lb_policy", "BEST", "lb_policy"),
        ("circuit_breakers", {"thresholds": [{"max_requests": -1}]}, "circuit_breakers"),
    ],
)
def test_what_the_schema_refuses_is_reported_where_the_specs_caused_it(
    origin: Origin, field: str, value: object, path: str
) -> None:
    known, sink = Known(), DiagnosticSink()

    SchemaCheck("1.40.0", known, sink).check(cluster(origin, **{field: value}))

    (finding,) = sink.sorted()
    assert finding.code == "MC601"
    assert str(finding.span) == "app.yaml:2:8"
    assert finding.message.startswith(
        f'Cluster "outbound/app" does not fit the schema of Envoy 1.40.0 at {path}'
    )
    assert known == set()


def test_all_that_is_wrong_with_a_resource_is_reported(origin: Origin) -> None:
    sink = DiagnosticSink()

    SchemaCheck("1.40.0", Known(), sink).check(cluster(origin, a=1, b=2))

    assert len(sink.sorted()) == 2
