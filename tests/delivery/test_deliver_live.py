"""Deliveries under a real Envoy, while requests run."""

from __future__ import annotations

import shutil
import socket
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from meshc.delivery.agent.confirm import Patience
from meshc.delivery.agent.deliver import DeliveryResult, deliver
from meshc.delivery.agent.swap import read_files
from meshc.delivery.errors import EnvoyGoneError, RefusedError
from meshc.delivery.materialize import materialize
from tests.delivery.live import Load, free_ports, get, running_envoy, until, upstream
from tests.delivery.node_files import (
    Json,
    bundle,
    eds_cluster,
    endpoints,
    http_listener,
    node_files,
    response,
    routes,
    tcp_listener,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from meshc.delivery.agent.admin import EnvoyAdmin

pytestmark = pytest.mark.envoy

HOST = "127.0.35.1"


class Scene:
    """An Envoy with one listener to service a, and servers x and y."""

    def __init__(self, directory: Path, x: tuple[str, int], y: tuple[str, int]) -> None:
        self.directory = directory
        self.x = x
        self.y = y
        ports = free_ports(HOST, 4)
        self.admin_address = (HOST, ports[0])
        self.one, self.two, self.three = ((HOST, port) for port in ports[1:])
        self.admin: EnvoyAdmin
        self._version = 0
        self.first = self.files([self.to_a()], [eds_cluster("outbound/a", "a")])

    def to_a(self, **more: object) -> Json:
        return http_listener("to-a", self.one, "a", **more)

    def files(
        self, listeners: list[Json], clusters: list[Json], **shared: bytes
    ) -> dict[str, bytes]:
        """Files with service a (on x) and b (on y); ``shared`` replaces by service and kind."""
        self._version += 1
        ours = {
            "a_eds": endpoints("ea", "a", self.x),
            "a_rds": routes("ra", "outbound/a", "outbound/a"),
        }
        if any(cluster["name"] == "outbound/b" for cluster in clusters):
            ours["b_eds"] = endpoints("eb", "b", self.y)
            ours["b_rds"] = routes("rb", "outbound/b", "outbound/b")
        names = {"eds": "eds.json", "rds": "rds-outbound.json"}
        return node_files(
            listeners=listeners,
            clusters=clusters,
            version=str(self._version),
            admin=self.admin_address,
            shared={
                f"{name.partition('_')[0]}/{names[name.partition('_')[2]]}": data
                for name, data in (ours | shared).items()
            },
        )

    def deliver(self, files: dict[str, bytes]) -> DeliveryResult:
        return deliver(bundle(files), self.directory, patience=Patience(notice=0.5))

    def both(self) -> dict[str, bytes]:
        return self.files(
            [self.to_a(), http_listener("to-b", self.two, "b")],
            [eds_cluster("outbound/a", "a"), eds_cluster("outbound/b", "b")],
        )


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with upstream(HOST, "x") as x, upstream(HOST, "y") as y:
        scene = Scene(tmp_path / "node", x, y)
        materialize(bundle(scene.first), scene.directory)
        with running_envoy(scene.directory, scene.admin_address) as admin:
            scene.admin = admin
            until(lambda: get(scene.one) == "x", "a first answer")
            yield scene


def test_changed_endpoints_lose_no_request_and_close_no_connection(scene: Scene) -> None:
    moved = scene.first | {"services/a/eds.json": endpoints("ea2", "a", scene.y)}

    with Load(scene.one, Counter()) as load:
        result = scene.deliver(moved)
        after = Counter(get(scene.one) for _ in range(10))
        load.more(20)

    assert result.written == ("services/a/eds.json",)
    assert after == {"y": 10}
    assert load.answers.keys() == {"x", "y"}
    assert load.reconnects == 0


def test_delivering_twice_moves_nothing(scene: Scene) -> None:
    before = scene.admin.update_attempts()

    result = scene.deliver(scene.first)

    assert not result.has_changed
    assert scene.admin.update_attempts() == before


def test_an_added_dependency_answers_once_the_delivery_returns(scene: Scene) -> None:
    with Load(scene.one, Counter()) as load:
        scene.deliver(scene.both())
        assert get(scene.two) == "y"
        load.more(20)

    assert load.answers.keys() == {"x"}
    assert load.reconnects == 0


def test_a_removed_dependency_answers_until_its_listener_has_drained(scene: Scene) -> None:
    scene.deliver(scene.both())
    with Load(scene.one, Counter()) as stays:
        kept = socket.create_connection(scene.two, timeout=5)
        result = scene.deliver(scene.first)
        stays.more(20)
    kept.close()

    assert result.written == ("lds.json", "cds.json")
    assert result.removed == ("services/b/eds.json", "services/b/rds-outbound.json")
    assert result.seconds >= 0.5
    assert stays.answers.keys() == {"x"}
    assert "cluster.outbound/b.update_attempt" not in scene.admin.update_attempts()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(scene.two, timeout=5)


def test_a_route_moves_to_another_cluster_without_closing_a_connection(scene: Scene) -> None:
    moved = scene.files(
        [scene.to_a()],
        [eds_cluster("outbound/b", "b")],
        a_rds=routes("ra2", "outbound/a", "outbound/b"),
    )
    moved = {path: data for path, data in moved.items() if path != "services/a/eds.json"}
    del moved["services/b/rds-outbound.json"]
    moved["lds.json"] = scene.first["lds.json"]

    with Load(scene.one, Counter()) as load:
        result = scene.deliver(moved)
        after = Counter(get(scene.one) for _ in range(10))
        load.more(20)

    assert result.written == ("services/b/eds.json", "cds.json", "services/a/rds-outbound.json")
    assert after == {"y": 10}
    assert load.answers.keys() == {"x", "y"}
    assert load.reconnects == 0


def test_twenty_changes_in_a_row_lose_no_request(scene: Scene) -> None:
    both = scene.both()
    with Load(scene.one, Counter()) as load:
        for _ in range(10):
            scene.deliver(both | {"services/a/eds.json": endpoints("ea2", "a", scene.x, scene.y)})
            scene.deliver(both)

    assert load.answers.keys() <= {"x", "y"}


def test_a_listener_whose_port_is_in_use_is_taken_back_with_envoys_reason(scene: Scene) -> None:
    with (
        socket.create_server(scene.two),
        Load(scene.one, Counter()) as load,
        pytest.raises(RefusedError) as caught,
    ):
        scene.deliver(scene.both())

    assert caught.value.path == "lds.json"
    assert "Address already in use" in caught.value.message
    assert caught.value.message.endswith("the previous files were put back")
    assert load.answers.keys() == {"x"}
    assert read_files(scene.directory) == scene.first
    assert scene.admin.versions()["listener_manager.lds.version_text"] == "lds-1"
    assert scene.admin.versions()["cluster_manager.cds.version_text"] == "cds-1"
    assert not scene.deliver(scene.first).has_changed
    assert scene.deliver(scene.both()).has_changed  # the port is free again


def test_a_partly_applied_refusal_is_undone_in_full(scene: Scene) -> None:
    both = scene.both()
    scene.deliver(both)
    with socket.create_server(scene.three):
        # Envoy drops to-b and then refuses the other: half of this is applied.
        files = scene.files(
            [scene.to_a(), tcp_listener("bad", scene.three, "outbound/a")],
            [eds_cluster("outbound/a", "a")],
        )
        with pytest.raises(RefusedError, match="previous files were put back"):
            scene.deliver(files)

    assert get(scene.two) == "y"
    assert read_files(scene.directory) == both


def test_refused_endpoints_are_taken_back(scene: Scene) -> None:
    wrong = scene.first | {"services/a/eds.json": endpoints("ea2", "other", scene.y)}

    with pytest.raises(RefusedError, match='refuses "services/a/eds.json"'):
        scene.deliver(wrong)
    assert get(scene.one) == "x"
    assert scene.admin.versions()["cluster.outbound/a.version_text"] == "ea"


def test_an_unreadable_file_is_told_from_a_refused_one(scene: Scene) -> None:
    unknown = {"@type": "type.googleapis.com/envoy.config.nothing.v3.Nothing", "name": "a"}

    with pytest.raises(RefusedError, match="cannot read"):
        scene.deliver(scene.first | {"services/a/eds.json": response("ea2", unknown)})
    assert get(scene.one) == "x"


def test_refused_clusters_are_taken_back_before_listeners_change(scene: Scene) -> None:
    bad = {**eds_cluster("outbound/b", "b"), "eds_cluster_config": {}}
    files = scene.files([scene.to_a()], [eds_cluster("outbound/a", "a"), bad])

    with pytest.raises(RefusedError, match='refuses "cds.json"'):
        scene.deliver(files)
    assert scene.admin.versions()["cluster_manager.cds.version_text"] == "cds-1"
    assert scene.admin.update_attempts()["listener_manager.lds.update_attempt"] == 1


def test_two_listeners_swap_their_addresses(scene: Scene) -> None:
    scene.deliver(scene.both())
    swapped = scene.files(
        [http_listener("to-a", scene.two, "a"), http_listener("to-b", scene.one, "b")],
        [eds_cluster("outbound/a", "a"), eds_cluster("outbound/b", "b")],
    )

    scene.deliver(swapped)

    assert (get(scene.one), get(scene.two)) == ("y", "x")


def test_a_dropped_and_restored_dependency_follows_its_files_again(scene: Scene) -> None:
    both = scene.both()
    scene.deliver(both)
    scene.deliver(scene.first)
    scene.deliver(both)
    scene.deliver(both | {"services/b/eds.json": endpoints("eb2", "b", scene.x)})

    assert get(scene.two) == "x"


def test_a_watch_that_was_lost_is_reported(scene: Scene) -> None:
    folder = scene.directory / "services" / "a"
    folder.rename(folder.with_name("away"))
    shutil.copytree(folder.with_name("away"), folder)
    shutil.rmtree(folder.with_name("away"))

    with pytest.raises(RefusedError, match="does not notice"):
        scene.deliver(scene.first | {"services/a/eds.json": endpoints("ea2", "a", scene.y)})
    assert get(scene.one) == "x"


def test_a_file_that_envoy_overlooked_is_put_again(scene: Scene) -> None:
    moved = endpoints("ea2", "a", scene.y)
    (scene.directory / "services/a/eds.json").write_bytes(moved)  # in place: Envoy ignores it

    result = scene.deliver(scene.first | {"services/a/eds.json": moved})

    assert result.written == ("services/a/eds.json",)
    assert get(scene.one) == "y"


def test_without_a_running_envoy_nothing_is_written(tmp_path: Path) -> None:
    scene = Scene(tmp_path, (HOST, 1), (HOST, 2))
    materialize(bundle(scene.first), tmp_path)

    with pytest.raises(EnvoyGoneError):
        scene.deliver(scene.both())
    assert read_files(tmp_path) == scene.first
