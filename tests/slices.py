"""Compiles two services, a caller and a called one, and hands out single messages."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshc.pipeline import BuildOptions, build

if TYPE_CHECKING:
    from meshc.diagnostics import Diagnostic

_CALLER = """protocol: HTTP
hosts:
- name: web1
  ingressAddr: {host: 127.0.0.11, port: 8000}
  substanceAddr: {host: 127.0.0.1, port: 9000}
dependentServices:
- name: api
  egressPort: 9001
"""
_CALLED = """hosts:
- name: api1
  ingressAddr: {host: 127.0.0.12, port: 8000}
  substanceAddr: {host: 127.0.0.1, port: 9000}
"""
OUTSIDE = "hosts: [{name: out1, externalAddr: {host: 192.0.2.7, port: 80}}]"
"""Hosts of a service outside the mesh."""


class Compiled:
    """What `web` gets for its calls to `api`."""

    def __init__(self, out: Path, diagnostics: tuple[Diagnostic, ...]) -> None:
        self.findings = [(one.code, str(one.span), one.message) for one in diagnostics]
        self.files = {
            path.relative_to(out).as_posix(): json.loads(path.read_bytes())
            for path in out.rglob("*.json")
        }

    def cluster(self, name: str = "outbound/api", node: str = "web1") -> dict[str, Any]:
        return self._named(f"nodes/{node}/cds.json", name)

    def listener(self, name: str = "outbound/api@web", node: str = "web1") -> dict[str, Any]:
        return self._named(f"nodes/{node}/lds.json", name)

    def network_filter(self, name: str = "outbound/api@web", node: str = "web1") -> dict[str, Any]:
        (chain,) = self.listener(name, node)["filter_chains"]
        config: dict[str, Any] = chain["filters"][-1]["typed_config"]
        return config

    def routes(self, file: str = "rds-outbound.json") -> list[dict[str, Any]]:
        (resource,) = self.files[f"services/api/{file}"]["resources"]
        routes: list[dict[str, Any]] = resource["virtual_hosts"][0]["routes"]
        return routes

    def route(self, file: str = "rds-outbound.json") -> dict[str, Any]:
        """The action for requests of which nothing is known: the last route."""
        action: dict[str, Any] = self.routes(file)[-1]["route"]
        return action

    def idempotent_route(self, file: str = "rds-outbound.json") -> dict[str, Any]:
        """The action for requests that are safe to repeat, where that is another one."""
        (found,) = [one["route"] for one in self.routes(file) if _is_about(one, ":method")]
        action: dict[str, Any] = found
        return action

    def _named(self, path: str, name: str) -> dict[str, Any]:
        (found,) = [one for one in self.files[path]["resources"] if one["name"] == name]
        resource: dict[str, Any] = found
        return resource


def _is_about(route: dict[str, Any], header: str) -> bool:
    return [one["name"] for one in route["match"].get("headers", [])] == [header]


def compiled(
    service: str = "",
    dependency: str = "",
    mesh: str = "",
    *,
    protocol: str = "HTTP",
    called: str | None = _CALLED,
) -> Compiled:
    """Compile with YAML added to the called service, to the caller's entry, and to mesh.yaml.

    ``called`` are the hosts of the called service, None where it has no document.
    """
    with tempfile.TemporaryDirectory() as folder:
        specs, out = Path(folder, "specs"), Path(folder, "out")
        specs.mkdir()
        if called is not None:
            (specs / "api.yaml").write_text(f"protocol: {protocol}\n{called.rstrip()}\n{service}\n")
        indented = "".join(f"  {line}\n" for line in dependency.splitlines())
        (specs / "web.yaml").write_text(_CALLER + indented)
        if mesh:
            (specs / "mesh.yaml").write_text(mesh)
        result = build(specs, BuildOptions(out=out))
        return Compiled(out, result.diagnostics)
