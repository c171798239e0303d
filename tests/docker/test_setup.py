"""The tokens of the sample, made by its own script in a real Consul, are enough and not more."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from meshc.pipeline import BuildOptions, build
from tests.consul.server import ConsulServer
from tests.docker.program import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.consul

SCRIPT = ROOT / "deploy" / "compose" / "consul-setup.sh"
ROLES = ["agent-front1", "agent-myapp1", "agent-myapp2", "prometheus", "publisher", "registrar"]
RULES = {"enabled": True, "default_policy": "deny", "enable_token_persistence": True}


class Sample:
    """A Consul that nobody has set up yet, and folders for tokens, as volumes are."""

    def __init__(self, consul: ConsulServer, program: Path, folder: Path) -> None:
        self._consul = consul
        self._program = program
        self.tokens = folder / "tokens"
        self.out = folder / "out"
        for name in ["admin", *ROLES]:
            (self.tokens / name).mkdir(parents=True)

    def set_up(self) -> subprocess.CompletedProcess[str]:
        path = f"{self._program.parent}:{os.environ['PATH']}"
        return subprocess.run(
            ["sh", str(SCRIPT), str(self.tokens), str(ROOT / "deploy" / "consul")],
            env={"PATH": path, "CONSUL_HTTP_ADDR": self._consul.address},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def read(self) -> dict[str, str]:
        return {name: (self.tokens / name / "token").read_text().strip() for name in ROLES}

    def meshc(self, role: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command as the container of a role does."""
        return subprocess.run(
            [sys.executable, "-m", "meshc", *arguments],
            env={
                "PATH": os.environ["PATH"],
                "CONSUL_HTTP_ADDR": self._consul.address,
                "CONSUL_HTTP_TOKEN_FILE": str(self.tokens / role / "token"),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


@pytest.fixture(scope="module")
def sample(consul_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    folder = tmp_path_factory.mktemp("setup")
    program = folder / "bin" / "consul"
    program.parent.mkdir()
    program.symlink_to(consul_binary)
    server = ConsulServer(
        program=consul_binary,
        log=folder / "consul.log",
        name="consul",
        settings_file={"acl": RULES},
    )
    server.launch()  # it is not ready for anybody before it has tokens
    try:
        sample = Sample(server, program, folder)
        done = sample.set_up()
        assert done.returncode == 0, done.stdout + done.stderr
        result = build(ROOT / "deploy" / "compose" / "specs", BuildOptions(out=sample.out))
        assert not result.has_errors
        published = sample.meshc(
            "publisher", "publish", "consul", "consul:///sample", "--out", str(sample.out)
        )
        assert "OK (Changed=true)" in published.stdout, published.stdout + published.stderr
        yield sample
    finally:
        server.kill()


def test_everybody_gets_a_token_and_no_two_the_same(sample: Sample) -> None:
    tokens = sample.read()

    assert len({*tokens.values()}) == len(ROLES)
    assert all(len(token) == 36 for token in tokens.values())


def test_no_token_is_said_aloud(sample: Sample) -> None:
    done = sample.set_up()

    admin = (sample.tokens / "admin" / "token").read_text().strip()
    assert not [one for one in [admin, *sample.read().values()] if one in done.stdout + done.stderr]
    assert (sample.tokens / "admin" / "token").stat().st_mode & 0o077 == 0


def test_set_up_again_it_keeps_the_tokens(sample: Sample) -> None:
    before = sample.read()

    done = sample.set_up()

    assert done.returncode == 0, done.stderr
    assert sample.read() == before


def test_tokens_that_are_lost_are_said(sample: Sample, tmp_path: Path) -> None:
    kept = sample.tokens / "admin" / "token"
    shutil.move(kept, tmp_path / "token")
    try:
        done = sample.set_up()
    finally:
        shutil.move(tmp_path / "token", kept)

    assert done.returncode == 1
    assert "docker compose down --volumes" in done.stderr


def test_the_registrar_registers_the_hosts(sample: Sample) -> None:
    done = sample.meshc("registrar", "consul", "sync", "--out", str(sample.out))

    assert "OK (Changed=true)" in done.stdout, done.stdout + done.stderr
    assert done.stdout.count("envoy-admin") == 3


def test_an_agent_gets_its_own_files_and_no_other_host_s(sample: Sample, tmp_path: Path) -> None:
    def prepare(node: str) -> subprocess.CompletedProcess[str]:
        return sample.meshc(
            "agent-front1",
            *("agent", "prepare", "--node", node, "--source", "consul:///sample"),
            *("--target", str(tmp_path / node), "--envoy", "none"),
        )

    own, other = prepare("front1"), prepare("myapp1")

    assert own.returncode == 0, own.stdout + own.stderr
    assert (tmp_path / "front1" / "bootstrap.json").exists()
    assert other.returncode == 3
    assert not (tmp_path / "myapp1" / "bootstrap.json").exists()
