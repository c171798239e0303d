"""A connection whose packets vanish: both sides notice, and the Envoy goes to another server."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from meshc.delivery.xds.bootstrap import Subscribing, grpc_bootstrap
from tests.delivery.live import envoy_or_skip, until
from tests.delivery.xds.certificates import certificates
from tests.delivery.xds.meshes import APP, SECOND_HOST, SMALL, make_bundle
from tests.delivery.xds.namespaces import lose_packets, two_hosts
from tests.delivery.xds.process import ServeProcess, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.delivery.xds.namespaces import Host

pytestmark = pytest.mark.envoy

_PORT = 18_000
_KEEPALIVE_S, _ANSWER_S = 2, 10
"""Of the server: pings so often, and waits so long for the answer."""
_ENVOY_S = 30 + 10
"""What `meshc bootstrap` tells an Envoy of the same."""
_SPARE_S = 15.0
_BEFORE = SMALL | {"mesh": "accessLog: {enabled: false}\n"}
_AFTER = _BEFORE | {"app": APP + SECOND_HOST.lstrip()}


@contextlib.contextmanager
def _envoy(
    host: Host, bundle: Path, folder: Path, servers: list[str], **more: Any
) -> Iterator[None]:
    folder.mkdir()
    bootstrap = json.loads((bundle / "nodes/front1/bootstrap.json").read_text())
    places = [(one, _PORT) for one in servers]
    found = grpc_bootstrap(bootstrap, places, subscribing=Subscribing.DELTA_ADS, **more)
    (folder / "bootstrap.json").write_text(json.dumps(found))
    command = [*host.within, str(envoy_or_skip()), "-c", "bootstrap.json", "--concurrency", "1"]
    with (folder / "envoy.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--disable-hot-restart"], cwd=folder, stdout=log, stderr=log
        )
    try:
        yield
        assert process.poll() is None, (folder / "envoy.log").read_text()
    finally:
        process.terminate()
        process.wait(10)


def _is_settled(server: ServeProcess) -> bool:
    streams = server.status().get("streams", [])
    return bool(streams) and all(one["is_settled"] for one in streams)


def test_packets_that_vanish_are_noticed_on_both_sides(tmp_path: Path) -> None:
    known = certificates(tmp_path, "IP:10.213.46.1", "IP:10.213.46.3")
    with two_hosts() as (near, far), contextlib.ExitStack() as stack:
        servers: dict[str, ServeProcess] = {}
        for number, address in enumerate(far.addresses):
            folder = tmp_path / str(number)
            bundle = make_bundle(folder, _BEFORE)
            servers[address] = stack.enter_context(
                serving(
                    folder,
                    *("--keepalive", str(_KEEPALIVE_S)),
                    host=address,
                    port=_PORT,
                    within=far.within,
                    tls=known.tls,
                )
            )
        stack.enter_context(
            _envoy(near, bundle, tmp_path / "envoy", [*servers], credentials=known.credentials)
        )
        until(lambda: any(map(_is_settled, servers.values())), "an Envoy that has everything")
        [here] = [one for one in servers if servers[one].status()["streams"]]
        [there] = set(servers) - {here}

        lose_packets(near, far, here)
        began = time.monotonic()
        until(
            lambda: not servers[here].status()["streams"],
            "a server that lets go",
            _KEEPALIVE_S + _ANSWER_S + _SPARE_S,
        )
        assert time.monotonic() - began >= _ANSWER_S - 1, "before, it may be a slow network"
        until(lambda: _is_settled(servers[there]), "the Envoy elsewhere", _ENVOY_S + _SPARE_S)
        before = servers[there].status()["generation"]
        make_bundle(servers[there].folder, _AFTER)
        until(
            lambda: servers[there].status()["generation"] != before and _is_settled(servers[there]),
            "what changes from then on",
        )
