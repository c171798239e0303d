"""A small mesh to serve: `front` calls `app` and `store`."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from meshc.pipeline import BuildOptions, build

if TYPE_CHECKING:
    from pathlib import Path

FRONT = """
protocol: HTTP
hosts:
- name: front1
  ingressAddr: {host: 127.0.9.1, port: 8000}
  substanceAddr: {host: 127.0.0.1, port: 9000}
dependentServices:
- {name: app, egressPort: 9001}
- {name: store, egressPort: 9002}
"""
APP = """
protocol: HTTP
hosts:
- name: app1
  ingressAddr: {host: 127.0.9.2, port: 8000}
  substanceAddr: {host: 127.0.0.1, port: 9000}
"""
SECOND_HOST = """
- name: app2
  ingressAddr: {host: 127.0.9.3, port: 8000}
  substanceAddr: {host: 127.0.0.1, port: 9000}
"""
STORE = APP.replace("app1", "store1").replace("127.0.9.2", "127.0.9.4")
SMALL = {"front": FRONT, "app": APP, "store": STORE}


def make_bundle(folder: Path, documents: dict[str, str] | None = None) -> Path:
    """Compile documents into a bundle below a folder; returns where it is."""
    specs = folder / "specs"
    shutil.rmtree(specs, ignore_errors=True)
    specs.mkdir(parents=True)
    for name, text in (documents or SMALL).items():
        (specs / f"{name}.yaml").write_text(text)
    result = build(specs, BuildOptions(out=folder / "out"))
    assert not result.has_errors, result.diagnostics
    return folder / "out"
