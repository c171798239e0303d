"""Real Envoys on the server: the same as on files, and no failed request over changes."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from meshc.artifact.store import DirectoryStore
from meshc.delivery.materialize import materialize
from meshc.delivery.xds.bootstrap import Subscribing
from tests.delivery.live import Load, running_envoy, until, upstream
from tests.delivery.xds.live import (
    HOST,
    Mesh,
    ask_once,
    configured,
    envoy_on,
    relative_to,
    server_of,
    walk,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.envoy

_RUN = 12
"""Three listeners, three clusters, three route configurations, the endpoints of three."""


@pytest.mark.conforms("order", "make-before-break")
@pytest.mark.parametrize("subscribing", [Subscribing.ADS, Subscribing.DELTA_ADS])
def test_no_request_fails_over_any_kind_of_change(tmp_path: Path, subscribing: Subscribing) -> None:
    answers = walk(tmp_path, subscribing, requests=60)

    assert set(answers) == {"one", "two"}
    assert answers.total() >= 8 * 60


@pytest.mark.parametrize(
    "subscribing",
    [Subscribing.ADS, Subscribing.DELTA_ADS, Subscribing.PER_TYPE, Subscribing.REST],
)
def test_an_envoy_runs_the_same_from_files_and_from_the_server(
    tmp_path: Path, subscribing: Subscribing
) -> None:
    mesh = Mesh(tmp_path)
    with upstream(HOST, "one") as one:
        bundle = mesh.build([one], other=one, policy=", timeouts: {request: 7s}")
        files = tmp_path / "files"
        files.mkdir()
        relative = relative_to(tmp_path, bundle)
        materialize(DirectoryStore(relative).node("front1"), files)
        with running_envoy(files, mesh.admin) as admin:
            until(lambda: ask_once(mesh) == "one", "an answer from files")
            from_files = configured(admin)
        with (
            server_of(relative) as running,
            envoy_on(
                tmp_path / "envoy",
                relative,
                mesh.admin,
                running.port(subscribing),
                subscribing=subscribing,
            ) as admin,
        ):
            until(lambda: ask_once(mesh) == "one", "an answer from the server")
            from_server = configured(admin)

    assert len(from_files) == _RUN
    assert from_server == from_files


def test_traffic_goes_on_without_the_server(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path)
    answers: Counter[str] = Counter()
    with upstream(HOST, "one") as one, contextlib.ExitStack() as stack:
        bundle = mesh.build([one])
        first = stack.enter_context(contextlib.ExitStack())
        running = first.enter_context(server_of(bundle))
        port = running.server.port
        stack.enter_context(
            envoy_on(tmp_path / "envoy", bundle, mesh.admin, port, subscribing=Subscribing.ADS)
        )
        until(lambda: ask_once(mesh) == "one", "the first answer")
        with Load(mesh.entrance, answers) as load:
            first.close()
            load.more(100)
    assert set(answers) == {"one"}
