"""A real Envoy on a server with several workers."""

from __future__ import annotations

import os
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from meshc.delivery.xds.bootstrap import Subscribing
from tests.delivery.live import Load, until, upstream
from tests.delivery.xds.live import HOST, Mesh, ask_once, envoy_on
from tests.delivery.xds.process import PATIENCE_S, ServeProcess, serving

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.envoy


def test_an_envoy_moves_to_another_worker_without_a_failed_request_or_a_word_twice(
    tmp_path: Path,
) -> None:
    mesh = Mesh(tmp_path)
    answers: Counter[str] = Counter()
    with upstream(HOST, "one") as one:
        bundle = mesh.build([one])
        with (
            serving(bundle.parent, "--workers", "2") as server,
            envoy_on(
                tmp_path / "envoy",
                bundle,
                mesh.admin,
                server.port,
                subscribing=Subscribing.DELTA_ADS,
            ),
        ):
            until(lambda: ask_once(mesh) == "one", "the first answer")
            before = _settled(server)
            with Load(mesh.entrance, answers) as load:
                os.kill(server.pids()[before["worker"]], signal.SIGKILL)
                until(lambda: _moved(server, before), "the Envoy on a worker again", PATIENCE_S)
                load.more(60)
                after = _settled(server)

    assert before["responses"] > 0
    assert after["responses"] == 0
    assert after["generation"] == before["generation"]
    assert set(answers) == {"one"}


def _settled(server: ServeProcess) -> dict[str, Any]:
    """Wait for the one stream to have everything, and return it."""

    def is_settled() -> bool:
        streams = server.status()["streams"]
        return len(streams) == 1 and len(streams[0]["types"]) > 1 and streams[0]["is_settled"]

    until(is_settled, "a settled stream")
    [stream] = server.status()["streams"]
    return dict(stream)


def _moved(server: ServeProcess, before: dict[str, Any]) -> bool:
    streams = server.status()["streams"]
    return len(streams) == 1 and streams[0]["since"] > before["since"]
