"""One real Envoy takes the mesh of all features, from files or from a server, and a change."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from meshc.artifact.store import DirectoryStore
from meshc.delivery.materialize import materialize
from tests.delivery.live import running_envoy, until
from tests.delivery.xds.features import AFTER, BEFORE
from tests.delivery.xds.live import configured, envoy_on, generation_of, server_of
from tests.envoy.checks import resources_in

if TYPE_CHECKING:
    from pathlib import Path

    from meshc.delivery.agent.admin import EnvoyAdmin
    from meshc.delivery.xds.bootstrap import Subscribing
    from tests.delivery.xds.certificates import Certificates
    from tests.delivery.xds.features import Features

_MUST_BE_ZERO = (
    "server.dynamic_unknown_fields",
    "server.static_unknown_fields",
    "server.wip_protos",
    "runtime.deprecated_feature_use",
    "listener_manager.listener_create_failure",
    "cluster_manager.warming_clusters",
    "listener_manager.total_listeners_warming",
)
_DRAINING = "listener_manager.total_listeners_draining"
_NEVER = (".update_rejected", ".update_failure", ".init_fetch_timeout")


def on_files(mesh: Features, before: Path, after: Path, folder: Path) -> dict[str, Any]:
    """Run an Envoy on files; returns what it runs in the end, after a change.

    ``before`` answers everything with ``one``, ``after`` with ``two``; and what is there to be
    called differs.
    """
    folder.mkdir()
    materialize(DirectoryStore(before).node("front1"), folder)
    with running_envoy(folder, mesh.admin) as admin:
        _until_answered(mesh, "one")
        materialize(DirectoryStore(after).node("front1"), folder)
        _until_answered(mesh, "two")
        read = {version for version, _ in resources_in(folder)}
        until(lambda: read <= set(admin.versions().values()), "the versions of all files")
        until(lambda: _counts(admin)[_DRAINING] == 0, "the end of old listeners")
        assert complaints(admin) == {}
        return configured(admin)


def check_served(
    mesh: Features,
    before: Path,
    after: Path,
    folder: Path,
    *,
    subscribing: Subscribing,
    known: Certificates,
    expected: dict[str, Any],
) -> None:
    """Do the same by way of a server that the Envoy knows by certificates.

    It has to run what is expected in the end.
    """
    folder.mkdir()
    shutil.copytree(before, folder / "served")
    with (
        server_of(folder / "served", tls=known.tls) as running,
        envoy_on(
            folder / "envoy",
            before,
            mesh.admin,
            running.port(subscribing),
            subscribing=subscribing,
            credentials=known.credentials,
        ) as admin,
    ):
        _until_answered(mesh, "one")
        running.put(after)
        _until_answered(mesh, "two")
        if running.status()["streams"]:  # a client that polls has none
            running.until_settled(generation_of(after))
        until(lambda: configured(admin) == expected, "what files give")
        assert complaints(admin) == {}


def _until_answered(mesh: Features, name: str) -> None:
    called = BEFORE if name == "one" else AFTER
    expected = dict.fromkeys({*BEFORE, *AFTER}, "") | dict.fromkeys(called, name)
    expected |= {"ingress": "one", "rpc": "rpc"}
    until(lambda: mesh.answers() == expected, f"{expected}, and not {mesh.answers()}")


def complaints(admin: EnvoyAdmin) -> dict[str, int]:
    """What an Envoy counts that is not to be: refusals, unknown and deprecated fields."""
    found = _counts(admin)
    assert [name for name in _MUST_BE_ZERO if name not in found] == []
    return {
        name: value
        for name, value in found.items()
        if value and (name in _MUST_BE_ZERO or name.endswith(_NEVER))
    }


def _counts(admin: EnvoyAdmin) -> dict[str, int]:
    stats = json.loads(admin._ask("/stats?format=json"))["stats"]
    return {one["name"]: one["value"] for one in stats if "name" in one}
