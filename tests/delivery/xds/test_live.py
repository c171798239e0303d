"""Real Envoys on the server: the same as on files, and no failed request over changes."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from meshc.artifact.store import DirectoryStore
from meshc.delivery.materialize import materialize
from meshc.delivery.xds.bootstrap import Subscribing
from meshc.delivery.xds.protocol import stream
from tests.delivery.live import Load, running_envoy, until, upstream
from tests.delivery.xds.live import (
    HOST,
    Mesh,
    ask_once,
    configured,
    envoy_on,
    generation_of,
    relative_to,
    server_of,
    walk,
)
from tests.delivery.xds.served import free_port

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.envoy

_RUN = 12
"""Three listeners, three clusters, three route configurations, the endpoints of three."""


@pytest.mark.conforms("order", "make-before-break")
@pytest.mark.parametrize("subscribing", [Subscribing.ADS, Subscribing.DELTA_ADS])
def test_no_request_fails_over_any_kind_of_change(
    tmp_path: Path, subscribing: Subscribing, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Server and Envoy never wait for each other: that would end the test here.
    monkeypatch.setattr(stream, "_PATIENCE_S", 600.0)

    answers = walk(tmp_path, subscribing, requests=60)

    assert set(answers) == {"one", "two"}
    assert answers.total() >= 9 * 60


def test_no_request_fails_where_the_mesh_changes_while_an_envoy_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over delta, where it says what it has: clusters stay until nothing uses them."""
    monkeypatch.setattr(stream, "_PATIENCE_S", 600.0)
    mesh, port = Mesh(tmp_path), free_port()
    answers: Counter[str] = Counter()
    with (
        upstream(HOST, "one") as one,
        upstream(HOST, "two") as two,
        contextlib.ExitStack() as stack,
    ):
        before = mesh.build([one])
        after = mesh.build([two], name="renamed", policy=", timeouts: {connect: 700ms}")
        first = stack.enter_context(contextlib.ExitStack())
        old = first.enter_context(server_of(before, port=port))
        stack.enter_context(
            envoy_on(
                tmp_path / "envoy", before, mesh.admin, port, subscribing=Subscribing.DELTA_ADS
            )
        )
        until(lambda: ask_once(mesh) == "one", "the first answer")
        old.until_settled(generation_of(before))
        with Load(mesh.entrance, answers) as load:
            first.close()
            new = stack.enter_context(server_of(after, port=port))
            until(lambda: answers["two"] > 0, f"an answer of the new server: {answers}")
            new.until_settled(generation_of(after))
            until(lambda: load.reconnects > 0, "the end of the connection to the old listener")
            load.more(60)
    assert set(answers) == {"one", "two"}


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
