"""Every published Envoy from 1.36 on: takes the files and what is served, and runs the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshc.delivery.xds.bootstrap import Subscribing
from meshc.delivery.xds.protocol import stream
from tests.delivery.live import upstream
from tests.delivery.xds.answering import answering
from tests.delivery.xds.certificates import Certificates, certificates
from tests.delivery.xds.features import Features
from tests.delivery.xds.taking import check_served, on_files
from tests.envoy.versions import VERSIONS, envoy_or_skip, on_path

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.envoy

_WAYS = tuple(Subscribing)
_TRACERS = ("zipkin", "opentelemetry")


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("certificates"))


@pytest.mark.parametrize("number", range(len(VERSIONS)), ids=VERSIONS)
def test_files_and_what_is_served_are_taken_and_give_the_same(
    number: int, tmp_path: Path, known: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "_GRACE_S", 0.1)
    envoy_or_skip(VERSIONS[number])
    with (
        on_path(VERSIONS[number]),
        upstream("127.0.0.1", "one") as one,
        upstream("127.0.0.1", "two") as two,
        answering("rpc") as rpc,
    ):
        mesh = Features(tmp_path, tracing=_TRACERS[number % 2], own=one, rpc=rpc)
        before = mesh.build("before", one)
        after = mesh.build("after", two, is_changed=True)

        files = on_files(mesh, before, after, tmp_path / "files")
        assert len(files) > 2 * len(mesh.ports)
        check_served(
            mesh,
            before,
            after,
            tmp_path / "server",
            subscribing=_WAYS[number % len(_WAYS)],
            known=known,
            expected=files,
        )
