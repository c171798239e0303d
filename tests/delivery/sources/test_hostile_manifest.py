"""Manifests that lie, contradict themselves or are made to cost."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from meshc.artifact.manifest import Manifest, render_manifest
from meshc.delivery.agent.sources import SourceError
from meshc.delivery.agent.sources.reading import manifest_for, read_bundle
from meshc.diagnostics.errors import MeshcError
from tests.artifact.bundles import HEADER, OLD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_DIGEST = "a" * 64
_PATIENCE_S = 30
_MEMORY = """
import resource, sys
from meshc.delivery.agent.sources import SourceError
from meshc.delivery.agent.sources.reading import read_bundle
lists, end = b"[]," * 8_000_000, b"\\n}\\n"
text = eval(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_bundle(text, "a", None, lambda _path, _digest: b"")
except SourceError as error:
    print(error.message, file=sys.stderr)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def manifest(change: Callable[[dict[str, Any]], object] | None = None) -> bytes:
    """The manifest of `OLD` on one line, with something changed in it."""
    data = json.loads(OLD.manifest)
    if change is not None:
        change(data)
    return json.dumps(data).encode()


def read(text: bytes, asked: list[str] | None = None, node: str = "a") -> object:
    def give(path: str, _digest: str) -> bytes:
        if asked is not None:
            asked.append(path)
        return OLD.files.get(path, b"")

    return read_bundle(text, node, None, give)


def test_the_manifest_of_these_tests_is_good_by_itself() -> None:
    assert read(manifest()) is not None


@pytest.mark.parametrize(
    ("service", "name"),
    [
        ("../../etc", "cron.json"),
        ("..", "x.json"),
        (".", "x.json"),
        ("", "x.json"),
        ("app", "../../../x.json"),
        ("app", ".hidden.json"),
        ("app", "deep/er.json"),
        ("app", "nul\0.json"),
        ("app", "line\nbreak.json"),
        ("app", "\ud800.json"),
        ("app", ""),
    ],
)
def test_a_name_that_leads_elsewhere_is_refused_before_anything_is_read(
    service: str, name: str
) -> None:
    def change(data: dict[str, Any]) -> None:
        data["nodes"]["a"]["uses"] = {service: [name]}
        data["services"] = {service: {name: _DIGEST}}

    asked: list[str] = []

    with pytest.raises(SourceError, match="no file of a node"):
        read(manifest(change), asked)

    assert asked == []


@pytest.mark.parametrize("digest", ["", "../../secret", "A" * 64, "a" * 63, "\ud800" * 64, 5, None])
def test_what_is_no_digest_is_refused_before_anything_is_read(digest: object) -> None:
    asked: list[str] = []

    with pytest.raises(SourceError, match="no digest"):
        read(manifest(lambda data: data["nodes"]["a"].update({"cds.json": digest})), asked)

    assert asked == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: data["nodes"].pop("a"), 'there is no node "a"'),
        (lambda data: data["services"].pop("app"), "contradicts itself"),
        (lambda data: data["services"].update(app=[]), "contradicts itself"),
        (lambda data: data["services"].update(app={}), "contradicts itself"),
        (lambda data: data["nodes"].update(a=[]), "contradicts itself"),
        (lambda data: data["nodes"].update(a={}), "contradicts itself"),
        (lambda data: data["nodes"]["a"].update(uses=5), "contradicts itself"),
        (lambda data: data["nodes"]["a"].update(uses={"app": 5}), "contradicts itself"),
        (lambda data: data["nodes"]["a"].pop("lds.json"), "contradicts itself"),
        (lambda data: data.pop("generation"), "damaged"),
        (lambda data: data.pop("services"), "damaged"),
        (lambda data: data.update(nodes=[]), "damaged"),
        (lambda data: data.update(origins={"app": {"hosts": 5}}), "damaged"),
        (lambda data: data.update(format=2), "format 2"),
        (lambda data: data.pop("format"), "format None"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused_by_its_reason(
    change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    with pytest.raises(SourceError, match=reason):
        read(manifest(change))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"nodes": ' * 100_000,
        b'{"format": NaN}',
        OLD.manifest[:-20],
        OLD.manifest[20:],
        OLD.manifest.replace(b'"format": 1', b'"format": ' + b"[" * 100_000),
        OLD.manifest.replace(b'"uses"', b'"x": ' + b"[" * 100_000 + b', "uses"'),
        OLD.manifest.replace(b'"uses"', b'"x": ' + b"9" * 5_000 + b', "uses"'),
    ],
)
def test_what_is_no_manifest_is_an_error_of_the_source(text: bytes) -> None:
    with pytest.raises(SourceError):
        read(text)


def test_every_prefix_of_a_manifest_is_refused() -> None:
    end = OLD.manifest.rindex(b"}")

    for length in range(0, end, 7):
        with pytest.raises(SourceError):
            read(OLD.manifest[:length])


def test_a_manifest_of_another_mesh_says_which_nodes_it_has() -> None:
    with pytest.raises(SourceError, match='no node "front1"') as caught:
        read(OLD.manifest, node="front1")

    assert not caught.value.is_incomplete
    assert caught.value.hint == "there are: a, b, gone"


@pytest.mark.parametrize(
    "text",
    [
        'b"[" + lists',
        'b"[" + lists + end',
        """b'{"format": 1,\\n"services": {\\n' + b'"x": [],\\n' * 4_000_000 + end""",
        """b'{\\n"services": {\\n},\\n"nodes": {\\n"a": {"uses": {}, "x": [' + lists + end""",
    ],
    ids=["one list", "one list that ends well", "many lines", "one long line"],
)
def test_a_manifest_made_to_burst_is_not_unfolded(text: str) -> None:
    """Tens of megabytes of brackets would be a gigabyte as Python values."""
    done = subprocess.run(
        [sys.executable, "-c", _MEMORY, text], capture_output=True, check=True, timeout=_PATIENCE_S
    )

    assert b"too large to look further" in done.stderr
    assert int(done.stdout) < 100_000  # KiB; the text and a copy


@pytest.mark.parametrize(
    "tail",
    [b'"a":' * 500_000, b'"a":\n' * 500_000, b'"x": {"hosts": {"a": 1}},\n' * 100_000],
    ids=["on one line", "on many lines", "as host of everything"],
)
def test_a_manifest_made_to_be_searched_for_ever_is_done_with_in_time(tail: bytes) -> None:
    text = OLD.manifest.replace(b'"origins": {}\n}\n', b'"origins": {\n' + tail + b"\n}\n")
    assert len(text) > len(tail)

    assert is_read_in_time(text)


def test_a_node_that_calls_thousands_of_services_is_read_in_time() -> None:
    assert is_read_in_time(large(20_000, callers={"a": range(20_000)}))


@pytest.mark.parametrize("node", ["a", "b", "n7", "n70"])
def test_the_lines_of_a_node_say_what_the_whole_manifest_says(node: str) -> None:
    draw = random.Random(4)
    callers = {name: draw.sample(range(100), 30) for name in ("a", "b", "n7", "n70")}
    text = large(100, callers=callers)

    lines, whole = manifest_for(text, node), Manifest.parse(text)

    assert len(lines.data["services"]) == 30
    assert lines.node_files(node) == whole.node_files(node)
    assert lines.node_origins(node) == whole.node_origins(node)
    assert lines.generation == whole.generation
    assert lines.drain_time == whole.drain_time


def large(services: int, *, callers: Mapping[str, Iterable[int]]) -> bytes:
    """A manifest; service 3 and its like have node ``a`` as a host too."""

    def name(number: int) -> str:
        return f"s{number}"

    own = dict.fromkeys(("bootstrap.json", "cds.json", "lds.json"), _DIGEST)
    return render_manifest(
        HEADER,
        services={name(one): json.dumps({"eds.json": _DIGEST}) for one in range(services)},
        nodes={
            node: json.dumps({**own, "uses": {name(one): ["eds.json"] for one in called}})
            for node, called in callers.items()
        },
        origins={
            name(one): json.dumps({"file": "f", "at": "1:1", "hosts": {"ab"[one % 2]: "2:2"}})
            for one in range(services)
        },
    )


def is_read_in_time(text: bytes) -> bool:
    def work() -> None:
        with contextlib.suppress(MeshcError):
            manifest_for(text, "a")

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(_PATIENCE_S)
    return not thread.is_alive()
