"""A real Envoy whose server is restarted, or that moves to another one, is sent nothing again."""

from __future__ import annotations

import contextlib
import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from meshc.delivery.xds.bootstrap import Subscribing
from tests.delivery.live import until, upstream
from tests.delivery.xds.certificates import Certificates, certificates
from tests.delivery.xds.live import (
    HOST,
    Mesh,
    Running,
    ask_once,
    envoy_on,
    generation_of,
    server_of,
)
from tests.delivery.xds.served import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from meshc.delivery.agent.admin import EnvoyAdmin

pytestmark = pytest.mark.envoy

_SUBSCRIPTIONS = 7
"""CDS, LDS, the routes of three listeners, the endpoints of two dependencies."""
_STREAMS = {Subscribing.ADS: 1, Subscribing.DELTA_ADS: 1, Subscribing.PER_TYPE: _SUBSCRIPTIONS}
_COUNTED = (
    *(".update_success", ".update_rejected", ".config_reload", ".init_fetch_timeout"),
    *("_added", "_modified", "_removed", "_in_place_updated", "_create_success"),
)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("certificates"))


def _counted(admin: EnvoyAdmin) -> dict[str, Any]:
    """What an Envoy has taken so far: counts of updates and what they did, and versions."""
    stats = json.loads(admin._ask("/stats?format=json"))["stats"]
    counts = {one["name"]: one["value"] for one in stats if "name" in one}
    found = {name: value for name, value in counts.items() if name.endswith(_COUNTED)}
    for name, value in counts.items():
        if name.endswith(".update_attempt"):
            # A connection that fails is an attempt, too, and a failure.
            found[name] = value - counts[name.replace("_attempt", "_failure")]
    return found | {name: text for name, text in admin.versions().items() if text}


def _connected(server: Running, subscribing: Subscribing) -> bool:
    streams = server.status()["streams"]
    types = {name for one in streams for name in one["types"]}
    return (
        len(streams) == _STREAMS[subscribing]
        and types == {"CDS", "EDS", "LDS", "RDS"}
        and all(one["is_settled"] for one in streams)
    )


def _sent(server: Running) -> int:
    return sum(int(stream["responses"]) for stream in server.status()["streams"])


def _check_that_it_follows(mesh: Mesh, server: Running, admin: EnvoyAdmin, bundle: Path) -> None:
    """Change the endpoints: they come, and nothing else does."""
    before = _counted(admin)
    server.put(bundle)
    until(lambda: ask_once(mesh) == "two", "the endpoints of now")
    server.until_settled(generation_of(bundle))
    after = _counted(admin)
    changed = sorted(name for name in after if after[name] != before.get(name))
    assert changed == [
        "cluster.outbound/app.update_attempt",
        "cluster.outbound/app.update_success",
        "cluster.outbound/app.version_text",
    ]
    assert _sent(server) == 1


@contextlib.contextmanager
def _two_states(folder: Path) -> Iterator[tuple[Mesh, Path, Path]]:
    mesh = Mesh(folder)
    with upstream(HOST, "one") as one, upstream(HOST, "two") as two:
        before, after = mesh.build([one], other=one), mesh.build([two], other=one)
        yield mesh, before, after


@pytest.mark.parametrize("subscribing", _STREAMS)
def test_a_server_that_is_back_sends_nothing_that_has_not_changed(
    tmp_path: Path, subscribing: Subscribing, known: Certificates
) -> None:
    port = free_port()
    with _two_states(tmp_path) as (mesh, before, after), contextlib.ExitStack() as stack:
        first = stack.enter_context(contextlib.ExitStack())
        old = first.enter_context(server_of(before, tls=known.tls, port=port))
        admin = stack.enter_context(
            envoy_on(
                tmp_path / "envoy",
                before,
                mesh.admin,
                port,
                subscribing=subscribing,
                credentials=known.credentials,
            )
        )
        until(lambda: ask_once(mesh) == "one", "the first answer")
        old.until_settled(generation_of(before))
        taken = _counted(admin)
        assert sum(name.endswith(".version_text") for name in taken) == _SUBSCRIPTIONS

        first.close()
        assert ask_once(mesh) == "one"
        shutil.copytree(before, tmp_path / "served")
        new = stack.enter_context(server_of(tmp_path / "served", tls=known.tls, port=port))
        until(lambda: _connected(new, subscribing), f"the Envoy on the new server: {new.status()}")

        assert _counted(admin) == taken
        assert _sent(new) == 0
        assert ask_once(mesh) == "one"
        _check_that_it_follows(mesh, new, admin, after)


@pytest.mark.parametrize("subscribing", [Subscribing.ADS, Subscribing.DELTA_ADS])
def test_an_envoy_moves_to_another_server_and_is_sent_nothing_there(
    tmp_path: Path, subscribing: Subscribing, known: Certificates
) -> None:
    with _two_states(tmp_path) as (mesh, before, after), contextlib.ExitStack() as stack:
        held, servers = [], []
        for name in ("left", "right"):
            shutil.copytree(before, tmp_path / name)
            held.append(stack.enter_context(contextlib.ExitStack()))
            servers.append(held[-1].enter_context(server_of(tmp_path / name, tls=known.tls)))
        admin = stack.enter_context(
            envoy_on(
                tmp_path / "envoy",
                before,
                mesh.admin,
                *(one.server.port for one in servers),
                subscribing=subscribing,
                credentials=known.credentials,
            )
        )
        until(lambda: ask_once(mesh) == "one", "the first answer")
        until(
            lambda: any(_connected(one, subscribing) for one in servers),
            "a server that has sent everything",
        )
        here, there = sorted(servers, key=lambda one: len(one.status()["streams"]), reverse=True)
        assert there.status()["streams"] == []
        taken = _counted(admin)

        held[servers.index(here)].close()
        until(
            lambda: _connected(there, subscribing),
            f"the Envoy on the other server: {there.status()}",
        )

        assert _counted(admin) == taken
        assert _sent(there) == 0
        _check_that_it_follows(mesh, there, admin, after)
