"""The program as a process of its own, and a small mesh that it is given."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """protocol: HTTP
hosts:
- name: app1
  ingressAddr: {host: 10.0.0.1, port: 80}
  substanceAddr: {host: 127.0.0.1, port: 9000}
"""


def run(
    *arguments: str, cwd: Path, env: dict[str, str] | None = None, **more: Any
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "meshc", *arguments],
        cwd=cwd,
        env=os.environ | (env or {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        **more,
    )
