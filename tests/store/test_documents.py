"""When two documents mean the same, and what their files are called."""

from __future__ import annotations

import pytest

from meshc.store.change import plan_change
from meshc.store.documents import file_name, meaning
from tests.store.fake import FakeConsul
from tests.store.wishes import APP, FRONT, snapshot, wish

CALLS = FRONT.replace("- {name: app, egressPort: 9001}\n", "")
HOSTS = APP[APP.index("- name: myapp1") :]
FIRST, SECOND = (HOSTS[: HOSTS.index("- name: myapp2")], HOSTS[HOSTS.index("- name: myapp2") :])

SAME = {
    "order of hosts": (APP, APP.replace(HOSTS, SECOND + FIRST)),
    "order of dependencies": (
        CALLS + "- {name: a, egressPort: 1}\n- {name: b, egressPort: 2}\n",
        CALLS + "- {name: b, egressPort: 2}\n- {name: a, egressPort: 1}\n",
    ),
    "order of keys": (APP, APP.replace("protocol: HTTP\n", "") + "protocol: HTTP\n"),
    "comments and spacing": (APP, "# New.\n\n" + APP.replace(", port", ",   port")),
    "quotes": (APP, APP.replace("protocol: HTTP", 'protocol: "HTTP"')),
    "a default in words": (APP, APP.replace(SECOND, SECOND + "  egressHost: 127.0.0.1\n")),
    "a name that is the key's": (APP, "name: app\n" + APP),
    "a schema for editors": (APP, "$schema: ../service.json\n" + APP),
    "units": (APP + "timeouts: {request: 1s}\n", APP + "timeouts: {request: 1000ms}\n"),
    "forms of an address": (
        APP.replace("192.168.34.71", "'2001:db8::1'"),
        APP.replace("192.168.34.71", "'2001:DB8:0::1'"),
    ),
    "byte order mark": (APP, "\ufeff" + APP),
}
DIFFERENT = {
    "a host less": (APP, APP.replace(SECOND, "")),
    "a host's name": (APP, APP.replace("myapp2", "myapp3")),
    "a port": (APP, APP.replace("port: 80}", "port: 81}", 1)),
    "the protocol": (APP, APP.replace("HTTP", "TCP")),
    "a label": (APP, APP + "labels: {team: a}\n"),
    "a policy that says what is the default": (APP, APP + "retries: {attempts: 2}\n"),
    "the order of what is tried in order": (
        APP + "retries: {on: [reset, 5xx]}\n",
        APP + "retries: {on: [5xx, reset]}\n",
    ),
    "another unit": (APP + "timeouts: {request: 1s}\n", APP + "timeouts: {request: 1ms}\n"),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME)
def test_documents_that_say_the_same_are_equal(one: str, other: str) -> None:
    assert one != other
    assert meaning("app", one.encode()) is not None
    assert meaning("app", one.encode()) == meaning("app", other.encode())


@pytest.mark.parametrize(("one", "other"), DIFFERENT.values(), ids=DIFFERENT)
def test_documents_that_say_something_else_differ(one: str, other: str) -> None:
    assert meaning("app", one.encode()) is not None
    assert meaning("app", other.encode()) is not None
    assert meaning("app", one.encode()) != meaning("app", other.encode())


def test_meshes_are_compared_as_well() -> None:
    assert meaning("mesh", b"name: a\nlabels: {x: y}\n") == meaning(
        "mesh", b"# Ours.\nlabels:\n  x: y\nname: a\nconnectTimeout: 1s\n"
    )
    assert meaning("mesh", b"name: a\n") != meaning("mesh", b"name: a\ndrainTime: 2s\n")


@pytest.mark.parametrize("text", [b"", b"protocol: HTPP\n", b"\xff", b"a: [", b"{}"])
def test_a_document_that_is_wrong_means_nothing(text: bytes) -> None:
    assert meaning("app", text) is None


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (APP.encode(), "app.yaml"),
        (b'{"protocol": "TCP"}\n', "app.json"),
        (b'\xef\xbb\xbf\n {"protocol": "TCP"}', "app.json"),
        (b"{protocol: TCP}\n", "app.yaml"),
        (b'{"protocol": "TCP"', "app.yaml"),
        (b"{" * 100_000, "app.yaml"),
        (b"", "app.yaml"),
    ],
)
def test_the_text_decides_which_language_a_file_is_in(content: bytes, name: str) -> None:
    assert file_name("app", content) == name


def test_two_documents_that_are_wrong_are_not_the_same() -> None:
    consul = FakeConsul()
    consul.put("meshc/v1/mesh/specs/app", b"protocol: HTPP\n")

    plan = plan_change(snapshot(consul), wish({"app": "protocol: TPC\n"}))

    assert [(change.name, change.kind) for change in plan.changes] == [("app", "changed")]
