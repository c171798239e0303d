"""Judge a node's files as they lie in a folder, with a real Envoy: one short-lived process.

    python -m meshc.validate.node DIRECTORY --envoy auto|PATH [--limit SECONDS]

Prints one JSON object: ``refused`` is a list of path, resource and Envoy's reason; ``error`` says
why there is no verdict.  Exit codes: 0 accepted; 1 refused; 3 no verdict; 4 there is no Envoy.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from meshc.artifact.layout import BOOTSTRAP as BOOTSTRAP_FILE
from meshc.artifact.layout import CDS, LDS, SERVICES, is_health_path
from meshc.diagnostics.errors import MeshcError
from meshc.validate.envoy_binary import Candidate, EnvoyGate
from meshc.validate.find_envoy import find_envoy
from meshc.validate.static_bootstrap import BOOTSTRAP, TYPE_URLS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ACCEPTED, _REFUSED, _UNKNOWN, _NO_ENVOY = 0, 1, 3, 4
_NAMES = ("name", "cluster_name")


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge a folder and print the answer."""
    parser = argparse.ArgumentParser(prog="meshc.validate.node")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--envoy", default="auto")
    parser.add_argument("--limit", type=float, default=10.0)
    given = parser.parse_args(arguments)
    # Whoever has waited long enough: Envoy and its files must not outlive this process.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_UNKNOWN))
    try:
        binary = find_envoy(given.envoy)
        if binary is None:
            return _say(_NO_ENVOY, error="there is no Envoy program")
        refused = judge(given.directory, binary, limit_s=given.limit)
    except MeshcError as error:
        return _say(_UNKNOWN, error=error.message)
    return _say(_REFUSED if refused else _ACCEPTED, refused=refused)


def judge(directory: Path, binary: Path, *, limit_s: float) -> list[dict[str, str]]:
    """Return what Envoy refuses of the node in a directory; empty: it accepts everything.

    Raises:
        MeshcError: Envoy gave no verdict.
    """
    places: dict[str, tuple[str, str]] = {}
    candidates: list[Candidate] = []
    refused: list[dict[str, str]] = []
    for path, data in _files(directory):
        try:
            found = list(_resources(path, data))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            reason = f"it cannot be read: {error}"
            refused.append({"path": path, "resource": "", "reason": reason})
            continue
        for name, type_url, message in found:
            if type_url not in TYPE_URLS:
                reason = f'there is a "{type_url}" in it, which nobody expects there'
                refused.append({"path": path, "resource": name, "reason": reason})
                continue
            key = str(len(places))
            places[key] = (path, name)
            candidates.append(Candidate(key, type_url, message))
    with EnvoyGate(binary, timeout_s=limit_s, max_refusals=10) as gate:
        for refusal in gate.judge(candidates):
            path, name = places[refusal.key]
            refused.append({"path": path, "resource": name, "reason": refusal.reason})
    return refused


def _files(directory: Path) -> Iterator[tuple[str, bytes]]:
    paths = [directory / name for name in (BOOTSTRAP_FILE, CDS, LDS)]
    paths += sorted((directory / SERVICES).glob("*/*.json"))
    for path in paths:
        name = path.relative_to(directory).as_posix()
        if not is_health_path(name):  # which no Envoy reads
            yield name, path.read_bytes()


def _resources(path: str, data: bytes) -> Iterator[tuple[str, str, dict[str, Any]]]:
    content = orjson.loads(data)
    if path == BOOTSTRAP_FILE:
        yield "", BOOTSTRAP, content
        return
    for resource in content["resources"]:
        message = dict(resource)
        type_url = message.pop("@type")
        name = next((str(message[key]) for key in _NAMES if key in message), "")
        yield name, type_url, message


def _say(code: int, **answer: object) -> int:
    sys.stdout.write(json.dumps(answer) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
