"""The sample mesh that comes with the package, and the one change that the story makes to it."""

from __future__ import annotations

import re
from pathlib import Path

from meshc.demo.errors import DemoError

OUT = "myapp2"
"""The host that is taken out and put back."""


def sample_specs() -> Path:
    """Return the folder with the sample's specs, the same as `specs/` of the repository."""
    return Path(__file__).parent / "specs"


def without_host(text: str, name: str) -> str:
    """Take one entry out of a service's list of hosts, as somebody with an editor would."""
    entry = rf"^- name: *{re.escape(name)}\b.*\n(?:[ \t]+.*\n|\n)*"
    changed, count = re.subn(entry, "", text, flags=re.MULTILINE)
    if count != 1:
        raise DemoError(f'"app.yaml" has no host "{name}" written as in the sample')
    return changed
