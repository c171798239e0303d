"""A user at a command line, with a mesh of their own in a real Consul."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from meshc.cli import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from meshc.consul.client import ConsulClient
    from tests.consul.server import ConsulServer


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command answered."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class User:
    """Runs commands in a folder; ``url`` is the store that MESHC_SPECS names."""

    folder: Path
    mesh: str
    url: str
    client: ConsulClient
    capture: pytest.CaptureFixture[str]

    def run(self, *arguments: str) -> Answer:
        self.capture.readouterr()
        code = run(arguments)
        out, err = self.capture.readouterr()
        return Answer(code, out, err)

    def ask(self, *arguments: str) -> Any:
        """The JSON that a command answers."""
        return json.loads(self.run(*arguments, "--format", "json").out)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def stored(self) -> dict[str, tuple[bytes, int]]:
        """Every key of the mesh in Consul: its value, and when it was written."""
        found = self.client.kv_list(f"meshc/v1/{self.mesh}", consistency="consistent").value
        return {entry.key: (entry.value, entry.modify_index) for entry in found}


@pytest.fixture
def client(consul_dev: ConsulServer) -> Iterator[ConsulClient]:
    with consul_dev.client() as opened:
        yield opened


@pytest.fixture
def user(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    consul_dev: ConsulServer,
    client: ConsulClient,
) -> User:
    folder, mesh = tmp_path / "work", f"shop-{secrets.token_hex(6)}"
    folder.mkdir()
    monkeypatch.chdir(folder)
    url = f"{consul_dev.address.replace('http', 'consul')}/{mesh}"
    monkeypatch.setenv("MESHC_ENVOY", "none")
    monkeypatch.setenv("MESHC_SPECS", url)
    someone = User(folder, mesh, url, client, capsys)
    someone.write("mesh.yaml", f"name: {mesh}\n")
    assert someone.run("svc", "apply", "mesh", "-f", "mesh.yaml").code == 0
    return someone
