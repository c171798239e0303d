"""Each kind of mistake in a document: code, place, words, hint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from meshc.spec.refusal import _known_keys, _missing_hint, _model_in, _value_problem
from meshc.spec.schema import AdminSpec, MeshSpec
from tests.spec.refusing import findings

if TYPE_CHECKING:
    from pathlib import Path

HOST = """\
protocol: HTTP
hosts:
- name: app1
  ingressAddr: {host: 10.0.0.1, port: 80}
  substanceAddr: {host: 127.0.0.1, port: 9000}
"""


SERVICE_MISTAKES: dict[str, tuple[str, tuple[str, str, str, str | None]]] = {
    "no mapping": (
        "- protocol: HTTP\n",
        (
            "MC203",
            "1:1-1:17",
            "a document must be a mapping, found a list",
            "start with keys, for example: protocol: HTTP",
        ),
    ),
    "a text": (
        "HTTP\n",
        (
            "MC203",
            "1:1-1:5",
            'a document must be a mapping, found the text "HTTP"',
            "start with keys, for example: protocol: HTTP",
        ),
    ),
    "unknown key at the top": (
        "protocol: HTTP\ndependantServices: []\n",
        (
            "MC201",
            "2:1-2:18",
            'unknown key "dependantServices"',
            'did you mean "dependentServices"?',
        ),
    ),
    "unknown key that is like none": (
        HOST + "  locality: {region: eu, xyz: a}\n",
        ("MC201", "6:26-6:29", 'unknown key "xyz"', "allowed here: region, zone"),
    ),
    "unknown key in another case": (
        "protocol: HTTP\nHosts: []\n",
        ("MC201", "2:1-2:6", 'unknown key "Hosts"', 'did you mean "hosts"?'),
    ),
    "unknown key deep down": (
        HOST + "dependentServices:\n- name: a\n  egressPort: 1\n  retries: {atempts: 2}\n",
        ("MC201", "9:13-9:20", 'unknown key "atempts"', 'did you mean "attempts"?'),
    ),
    "the key of our own code": (
        HOST + "circuit_breakers: {}\n",
        ("MC201", "6:1-6:17", 'unknown key "circuit_breakers"', 'did you mean "circuitBreakers"?'),
    ),
    "missing at the top": (
        "# Nothing.\n\nhosts: []\n",
        ("MC202", "3:1-3:10", '"protocol" is missing', "What the service speaks."),
    ),
    "missing in an entry of a list": (
        "protocol: HTTP\nhosts:\n- weight: 5\n",
        (
            "MC202",
            "3:3-3:12",
            '"name" is missing',
            "The host's name; the same name in several services is one host.",
        ),
    ),
    "missing in a mapping": (
        HOST.replace(", port: 80", ""),
        ("MC202", "4:3-4:14", '"port" is missing', "TCP port, 1 to 65535."),
    ),
    "missing egressPort": (
        "protocol: HTTP\ndependentServices:\n- name: app\n",
        (
            "MC202",
            "3:3-3:12",
            '"egressPort" is missing',
            "Port of the own Envoy for these calls, at egressHost.",
        ),
    ),
    "a host without addresses": (
        "protocol: HTTP\nhosts:\n- name: app1\n",
        (
            "MC202",
            "3:3-3:13",
            'host "app1" has no ingressAddr and no substanceAddr',
            (
                "a host of the mesh has ingressAddr (its Envoy) and substanceAddr (its "
                "application); one outside the mesh has externalAddr alone"
            ),
        ),
    ),
    "a quoted number": (
        HOST.replace("80", '"80"'),
        (
            "MC203",
            "4:39-4:43",
            '"port" must be a whole number, found the text "80"',
            "remove the quotes: 80",
        ),
    ),
    "a fraction": (
        HOST.replace("80", "80.5"),
        ("MC203", "4:39-4:43", '"port" must be a whole number, found the number 80.5', None),
    ),
    "a number for a name": (
        "name: 7\nprotocol: HTTP\n",
        ("MC203", "1:7-1:8", '"name" must be text, found the number 7', 'put it in quotes: "7"'),
    ),
    "a truth value for a name": (
        "name: true\nprotocol: HTTP\n",
        (
            "MC203",
            "1:7-1:11",
            '"name" must be text, found the truth value true',
            'put it in quotes: "true"',
        ),
    ),
    "a label that is no text": (
        "protocol: HTTP\nlabels: {tier: 1.0}\n",
        (
            "MC203",
            "2:16-2:19",
            '"tier" must be text, found the number 1.0',
            'put it in quotes: "1.0"',
        ),
    ),
    "a label without value": (
        "protocol: HTTP\nlabels:\n  tier:\n",
        ("MC203", "3:8-3:8", '"tier" must be text, found nothing', None),
    ),
    "labels as a list": (
        "protocol: HTTP\nlabels: [a]\n",
        ("MC203", "2:9-2:12", '"labels" must be a mapping of names to texts, found a list', None),
    ),
    "one host instead of a list": (
        "protocol: HTTP\nhosts: {name: a}\n",
        (
            "MC203",
            "2:8-2:17",
            '"hosts" must be a list, found a mapping',
            'start each entry with "- "',
        ),
    ),
    "a list without entries": (
        "protocol: HTTP\nhosts:\n",
        ("MC203", "2:7-2:7", '"hosts" must be a list, found nothing', None),
    ),
    "a text instead of a mapping": (
        "protocol: HTTP\nhosts:\n- app1\n",
        ("MC203", "3:3-3:7", '"hosts" must be a mapping, found the text "app1"', None),
    ),
    "an address as one text": (
        HOST.replace("{host: 10.0.0.1, port: 80}", "10.0.0.1:80"),
        (
            "MC203",
            "4:16-4:27",
            '"ingressAddr" must be a mapping, found the text "10.0.0.1:80"',
            None,
        ),
    ),
    "a protocol that is none": (
        "protocol: HTPP\n",
        ("MC204", "1:11-1:15", '"protocol" cannot be "HTPP"', 'did you mean "HTTP"?'),
    ),
    "a protocol like no other": (
        "protocol: [x]\n",
        (
            "MC204",
            "1:11-1:14",
            '"protocol" cannot be what is there',
            "allowed here: HTTP, HTTP2, GRPC, TCP",
        ),
    ),
    "a truth value that cannot be false": (
        "protocol: HTTP\nloadBalancing: {hashOn: {sourceIp: false}}\n",
        ("MC204", "2:36-2:41", '"sourceIp" cannot be "false"', "allowed here: true"),
    ),
    "a size that is no prime": (
        "protocol: HTTP\nloadBalancing: {tableSize: 252}\n",
        ("MC204", "2:28-2:31", '"tableSize" cannot be "252"', 'did you mean "251"?'),
    ),
    "too small": (
        HOST.replace("80", "0"),
        ("MC204", "4:39-4:40", '"port" is "0", below the smallest allowed value 1', None),
    ),
    "too large": (
        HOST.replace("80", "65536"),
        ("MC204", "4:39-4:44", '"port" is "65536", above the largest allowed value 65535', None),
    ),
    "too large for 32 bits": (
        "protocol: TCP\ncircuitBreakers: {maxConnections: 4294967296}\n",
        (
            "MC204",
            "2:35-2:45",
            '"maxConnections" is "4294967296", above the largest allowed value 4294967295',
            None,
        ),
    ),
    "an empty list": (
        "protocol: HTTP\nretries: {on: []}\n",
        ("MC204", "2:15-2:17", '"on" is empty', "give at least one entry, or leave the key out"),
    ),
    "a wrong entry is all there is": (
        "protocol: HTTP\nretries: {on: [5XX]}\n",
        ("MC204", "2:16-2:19", '"on" cannot be "5XX"', 'did you mean "5xx"?'),
    ),
    "an empty text": (
        "protocol: HTTP\nloadBalancing: {hashOn: {header: ''}}\n",
        ("MC204", "2:34-2:36", '"header" is empty', "give a value, or leave the key out"),
    ),
    "a long text": (
        f"protocol: HTTP\nloadBalancing: {{hashOn: {{cookie: {'x' * 129}}}}}\n",
        ("MC204", "2:34-2:163", '"cookie" is longer than 128', None),
    ),
    "a text of another form": (
        "protocol: HTTP\nloadBalancing: {hashOn: {cookie: a b}}\n",
        (
            "MC204",
            "2:34-2:37",
            '"cookie" cannot be "a b"',
            "it must match ^[!#$%&'*+.^_`|~0-9A-Za-z-]+$",
        ),
    ),
    "too short a time": (
        "protocol: HTTP\ntimeouts: {connect: 0s}\n",
        ("MC204", "2:21-2:23", '"0s" is too short', "the shortest allowed here is 1ms"),
    ),
    "a bad name": (
        HOST.replace("app1", "app 1"),
        (
            "MC205",
            "3:9-3:14",
            '"app 1" is not a valid name',
            'names are 1 to 64 letters, digits, "-" and "_", and do not begin with "-"',
        ),
    ),
    "a bad address": (
        HOST.replace("10.0.0.1", "localhost"),
        (
            "MC206",
            "4:23-4:32",
            '"localhost" is not an IP address',
            "write 127.0.0.1 or ::1: Envoy listens on addresses, not on names",
        ),
    ),
    "a bad duration": (
        "protocol: HTTP\ntimeouts: {request: 5}\n",
        (
            "MC207",
            "2:21-2:22",
            '"5" is not a duration',
            'write a number and a unit, for example "250ms", "1.5s", "5m" or "1h"',
        ),
    ),
    "a bad label name": (
        "protocol: HTTP\nlabels:\n  fine: a\n  team name: b\n",
        (
            "MC208",
            "4:3-4:12",
            '"team name" is not a valid label name',
            (
                'label names are 1 to 64 letters, digits, ".", "_", "-" and "/", '
                "with a letter or digit at both ends"
            ),
        ),
    ),
    "a host inside and outside": (
        HOST + "  externalAddr: {host: a.com, port: 80}\n",
        (
            "MC209",
            "3:3-6:40",
            'host "app1" is outside the mesh and has ingressAddr and substanceAddr',
            "externalAddr stands alone: there is no Envoy of ours on that host",
        ),
    ),
    "two things to hash": (
        "protocol: HTTP\nloadBalancing: {hashOn: {header: a, sourceIp: true}}\n",
        (
            "MC502",
            "2:25-2:52",
            "hashOn needs exactly one of header, cookie and sourceIp",
            "for example hashOn: {header: x-user-id}",
        ),
    ),
}


@pytest.mark.parametrize("mistake", SERVICE_MISTAKES)
def test_a_mistake_in_a_service_is_said_in_its_authors_words(tmp_path: Path, mistake: str) -> None:
    text, expected = SERVICE_MISTAKES[mistake]

    assert findings(tmp_path, "app.yaml", text) == [expected]


def test_all_mistakes_of_a_document_are_reported_at_once(tmp_path: Path) -> None:
    text = """\
protocl: HTTP
hosts:
- name: a b
  ingressAddr: {host: x, port: 0}
  substanceAddr: {port: "1"}
timeouts: {idle: 5, connect: 0s}
retries: {statusCodes: [100, 200, 600]}
"""

    found = [
        (code, place.partition("-")[0]) for code, place, _, _ in findings(tmp_path, "a.yaml", text)
    ]

    assert found == [
        ("MC201", "1:1"),
        ("MC202", "1:1"),
        ("MC205", "3:9"),
        ("MC206", "4:23"),
        ("MC204", "4:32"),
        ("MC202", "5:3"),
        ("MC203", "5:25"),
        ("MC207", "6:18"),
        ("MC204", "6:30"),
        ("MC204", "7:25"),
        ("MC204", "7:35"),
    ]


def test_places_in_json_are_those_of_the_json_text(tmp_path: Path) -> None:
    text = '{\n  "protocol": "HTTP",\n  "hosts": [\n    {"name": "a b"}\n  ],\n  "x": 1\n}\n'

    found = [(code, place) for code, place, _, _ in findings(tmp_path, "app.json", text)]

    assert found == [("MC205", "4:14-4:19"), ("MC201", "6:3-6:6")]


def test_a_null_is_nothing_to_hash(tmp_path: Path) -> None:
    text = "protocol: HTTP\nloadBalancing: {policy: maglev, hashOn: {header: null}}\n"

    assert [code for code, *_ in findings(tmp_path, "app.yaml", text)] == ["MC502"]


# What no document of today can cause, kept harmless for schemas to come.


@pytest.mark.parametrize("location", [("nope",), ("admin", "nope"), ("name",), ("name", "x")])
def test_a_place_without_a_model_has_no_known_keys_and_no_hint(location: tuple[str, ...]) -> None:
    assert _known_keys(MeshSpec, location) == []
    assert _missing_hint(MeshSpec, location, "port") is None


def test_a_key_that_the_model_does_not_have_has_no_hint() -> None:
    assert _missing_hint(MeshSpec, ("admin",), "nope") is None


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (int | None, None),
        (int | tuple[AdminSpec, ...] | None, AdminSpec),
        (dict[str, str], None),
    ],
)
def test_the_one_model_in_an_annotation_is_found(annotation: object, expected: object) -> None:
    assert _model_in(annotation) is expected


def test_an_error_of_an_unknown_kind_is_shown_with_the_validator_s_words() -> None:
    error: Any = {"type": "new_kind", "input": "x", "msg": "Input should be better"}

    assert _value_problem(error, "port") == ('cannot be "x"', "Input should be better")
