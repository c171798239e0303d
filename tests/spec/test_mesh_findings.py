"""Each kind of mistake in the document of the mesh: code, place, words, hint."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.spec.refusing import findings

if TYPE_CHECKING:
    from pathlib import Path

MESH_MISTAKES: dict[str, tuple[str, tuple[str, str, str, str | None]]] = {
    "admin is no address": (
        "admin: {host: localhost}\n",
        (
            "MC206",
            "1:15-1:24",
            '"localhost" is not an IP address',
            "write 127.0.0.1 or ::1: Envoy listens on addresses, not on names",
        ),
    ),
    "admin is no text": (
        "admin: {host: 5}\n",
        ("MC203", "1:15-1:16", '"host" must be text, found the number 5', 'put it in quotes: "5"'),
    ),
    "unknown key in defaults": (
        "defaults: {timeouts: {reqest: 5s}}\n",
        ("MC201", "1:23-1:29", 'unknown key "reqest"', 'did you mean "request"?'),
    ),
    "sampling is no number": (
        "tracing: {zipkin: {host: z}, sampling: all}\n",
        ("MC203", "1:40-1:43", '"sampling" must be a number, found the text "all"', None),
    ),
    "sampling above 100": (
        "tracing: {zipkin: {host: z}, sampling: 100.5}\n",
        ("MC204", "1:40-1:45", '"sampling" is "100.5", above the largest allowed value 100', None),
    ),
    "a switch that is no truth value": (
        "accessLog: {enabled: yes}\n",
        ("MC203", "1:22-1:25", '"enabled" must be true or false, found the text "yes"', None),
    ),
    "a directory with a slash at its end": (
        "xdsDirectory: /etc/\n",
        (
            "MC204",
            "1:15-1:20",
            '"/etc/" is not a usable directory',
            "write a path without a slash at its end",
        ),
    ),
    "an empty directory": (
        "xdsDirectory: ''\n",
        (
            "MC204",
            "1:15-1:17",
            '"" is not a usable directory',
            "write a path without a slash at its end",
        ),
    ),
    "a directory with a null in it": (
        'accessLog: {directory: "a\\0b"}\n',
        (
            "MC204",
            "1:24-1:30",
            r'"a\x00b" is not a usable directory',
            "write a path without a slash at its end",
        ),
    ),
    "two collectors": (
        "tracing: {zipkin: {host: z}, openTelemetry: {host: o}}\n",
        (
            "MC209",
            "1:10-1:55",
            "tracing needs exactly one of zipkin and openTelemetry",
            "for example tracing: {zipkin: {host: 10.0.0.9}}",
        ),
    ),
    "no collector": (
        "tracing: {}\n",
        (
            "MC209",
            "1:10-1:12",
            "tracing needs exactly one of zipkin and openTelemetry",
            "for example tracing: {zipkin: {host: 10.0.0.9}}",
        ),
    ),
    "no drain time": (
        "drainTime: 999ms\n",
        ("MC204", "1:12-1:17", '"999ms" is too short', "the shortest allowed here is 1s"),
    ),
    "a null for a time": (
        "connectTimeout: null\n",
        (
            "MC207",
            "1:17-1:21",
            '"null" is not a duration',
            'write a number and a unit, for example "250ms", "1.5s", "5m" or "1h"',
        ),
    ),
    "no such place for routes": (
        "routes: files\n",
        ("MC204", "1:9-1:14", '"routes" cannot be "files"', 'did you mean "file"?'),
    ),
}


@pytest.mark.parametrize("mistake", MESH_MISTAKES)
def test_a_mistake_in_the_mesh_is_said_in_its_authors_words(tmp_path: Path, mistake: str) -> None:
    text, expected = MESH_MISTAKES[mistake]

    assert findings(tmp_path, "mesh.yaml", text) == [expected]
