"""A delivery under an Envoy that is played, for what a real one cannot be made to do at will."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import pytest

from meshc.delivery.agent.admin import AdminAddress, EnvoyAdmin, ServerInfo, SubscriptionState
from meshc.delivery.agent.configuration import Subscription, read_configuration
from meshc.delivery.agent.confirm import Patience
from meshc.delivery.agent.deliver import deliver
from meshc.delivery.agent.swap import read_files
from meshc.delivery.errors import AdminError, DeliveryError, EnvoyGoneError, RefusedError
from meshc.delivery.materialize import materialize
from tests.delivery.node_files import (
    bundle,
    eds_cluster,
    endpoints,
    http_listener,
    identities,
    node_files,
    routes,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

HOST = "127.0.35.1"
QUICK = Patience(notice=0.03, answer=0.2, warm=0.05, drain_margin=0.0)


def files_for(*services: str, version: str) -> dict[str, bytes]:
    shared = {}
    for service in services:
        shared[f"{service}/eds.json"] = endpoints(f"e-{service}", service, (HOST, 1))
        shared[f"{service}/rds-outbound.json"] = routes(
            f"r-{service}", f"outbound/{service}", f"outbound/{service}"
        )
    return node_files(
        listeners=[
            http_listener(f"to-{service}", (HOST, 9001 + i), service)
            for i, service in enumerate(services)
        ],
        clusters=[eds_cluster(f"outbound/{service}", service) for service in services],
        shared=shared,
        version=version,
    )


OLD = files_for("a", version="1")
NEW = files_for("a", "b", version="2")


class FakeEnvoy(EnvoyAdmin):
    """Watches files like an Envoy, each time it is asked anything.

    It overlooks the first ``blind`` renames of each file, refuses versions in ``refuses``, has
    ``drains`` answers about draining left to say "one", and dies at versions in ``dies_at``.
    """

    def __init__(self, directory: Path, node: str = "n1") -> None:
        super().__init__(AdminAddress("fake", 1))
        self.directory = directory
        self.node = node
        self.blind = 0
        self.refuses: set[str] = set()
        self.dies_at: set[str] = set()
        self.drains = 0
        self.warms = 0
        self.read: list[str] = []
        """Versions in the order in which they were read."""
        self._seen: dict[str, int] = {}
        self._overlooked: dict[str, int] = {}
        self._states: dict[Subscription, SubscriptionState] = {}
        self._look()
        self.read.clear()

    def _look(self) -> None:
        there = read_configuration(read_files(self.directory), origin="")
        watchers = there.watchers(there.clusters, there.listeners)
        for path in sorted(watchers, key=lambda path: ("cds" not in path, path)):
            inode = (self.directory / path).stat().st_ino
            if self._seen.get(path) == inode:
                continue
            if path in self._seen and self._overlooked.get(path, 0) < self.blind:
                self._overlooked[path] = self._overlooked.get(path, 0) + 1
                self._seen[path] = inode
                continue
            self._seen[path] = inode
            version = json.loads(there.files[path])["version_info"]
            if version in self.dies_at:
                raise EnvoyGoneError("nobody listens")
            self.read.append(version)
            for name in watchers[path]:
                self._count(name, version)

    def _count(self, name: Subscription, version: str) -> None:
        state = self._states.get(name, SubscriptionState())
        state = dataclasses.replace(state, attempt=state.attempt + 1)
        if version in self.refuses:
            state = dataclasses.replace(state, rejected=state.rejected + 1)
        else:
            state = dataclasses.replace(state, success=state.success + 1, version=version)
        self._states[name] = state

    def server_info(self) -> ServerInfo:
        return ServerInfo(node=self.node, drain_time_s=0.05)

    def versions(self) -> dict[str, str]:
        self._look()
        return {f"{name}version_text": state.version for name, state in self._states.items()}

    def states(
        self, subscriptions: Iterable[Subscription]
    ) -> dict[Subscription, SubscriptionState]:
        self._look()
        return {name: self._states[name] for name in subscriptions if name in self._states}

    def draining(self) -> int:
        self.drains -= 1
        return int(self.drains >= 0)

    def warming(self) -> int:
        self.warms -= 1
        return int(self.warms >= 0)

    def listener_errors(self) -> dict[str, str]:
        return {"l": "it does not like it"}

    def listeners(self) -> dict[str, frozenset[str]]:
        return {}


@pytest.fixture
def envoy(tmp_path: Path) -> FakeEnvoy:
    materialize(bundle(OLD), tmp_path)
    return FakeEnvoy(tmp_path)


def test_an_addition_is_confirmed_step_by_step(envoy: FakeEnvoy, tmp_path: Path) -> None:
    result = deliver(bundle(NEW), tmp_path, admin=envoy, patience=QUICK)

    assert result.has_changed
    assert result.written == (
        "services/b/eds.json",
        "services/b/rds-outbound.json",
        "cds.json",
        "lds.json",
    )
    assert envoy.read == ["cds-2", "e-b", "lds-2", "r-b"]
    assert read_files(tmp_path) == NEW


def test_delivering_the_same_again_touches_nothing(envoy: FakeEnvoy, tmp_path: Path) -> None:
    before = identities(tmp_path)

    result = deliver(bundle(OLD), tmp_path, admin=envoy, patience=QUICK)

    assert not result.has_changed
    assert result.written == result.removed == ()
    assert identities(tmp_path) == before
    assert envoy.read == []


def test_a_missed_rename_is_made_again(envoy: FakeEnvoy, tmp_path: Path) -> None:
    envoy.blind = 3

    result = deliver(bundle(NEW), tmp_path, admin=envoy, patience=QUICK)

    assert result.has_changed
    assert envoy.read.count("cds-2") == 1
    assert read_files(tmp_path) == NEW


def test_an_envoy_that_never_notices_is_reported_and_left_as_it_was(
    envoy: FakeEnvoy, tmp_path: Path
) -> None:
    envoy.blind = 1000

    with pytest.raises(RefusedError, match="does not notice") as caught:
        deliver(bundle(NEW), tmp_path, admin=envoy, patience=QUICK)
    assert "restart Envoy" in str(caught.value.hint)
    assert read_files(tmp_path)["cds.json"] == OLD["cds.json"]


def test_a_refusal_puts_the_previous_files_back_in_reverse(
    envoy: FakeEnvoy, tmp_path: Path
) -> None:
    envoy.refuses = {"lds-2"}

    with pytest.raises(RefusedError) as caught:
        deliver(bundle(NEW), tmp_path, admin=envoy, patience=QUICK)
    assert caught.value.message == (
        'Envoy refuses "lds.json" of "n1": it does not like it; the previous files were put back'
    )
    assert caught.value.reasons == ("it does not like it",)
    assert caught.value.resources == ("l",)
    assert [version for version in envoy.read if "ds-" in version] == [
        "cds-2",
        "lds-2",
        "lds-1",
        "cds-1",
    ]
    assert read_files(tmp_path) == OLD


def test_a_refusal_of_clusters_never_reaches_the_listeners(
    envoy: FakeEnvoy, tmp_path: Path
) -> None:
    envoy.refuses = {"cds-2"}

    with pytest.raises(RefusedError, match="its log|cds.json"):
        deliver(bundle(NEW), tmp_path, admin=envoy, patience=QUICK)
    assert "lds-2" not in envoy.read
    assert read_files(tmp_path) == OLD


def test_previous_files_that_are_refused_as_well_are_reported_too(
    envoy: FakeEnvoy, tmp_path: Path
) -> None:
    envoy.refuses = {"lds-2", "lds-1"}

    with pytest.raises(RefusedError, match="putting the previous files back failed too"):
        deliver(bundle(NEW), tmp_path, admin=envoy, patience=QUICK)


def test_an_envoy_that_dies_finds_the_previous_files_at_its_next_start(
    envoy: FakeEnvoy, tmp_path: Path
) -> None:
    envoy.dies_at = {"lds-2"}

    with pytest.raises(EnvoyGoneError, match="the previous files were put back"):
        deliver(bundle(NEW), tmp_path, admin=envoy, patience=QUICK)
    assert read_files(tmp_path) == OLD


def test_clusters_that_stay_cold_are_taken_back(envoy: FakeEnvoy, tmp_path: Path) -> None:
    envoy.warms = 1_000_000

    with pytest.raises(DeliveryError, match="still warming"):
        deliver(bundle(NEW), tmp_path, admin=envoy, patience=QUICK)
    assert read_files(tmp_path) == OLD


def test_clusters_wait_for_listeners_that_drain(envoy: FakeEnvoy, tmp_path: Path) -> None:
    deliver(bundle(NEW), tmp_path, admin=envoy, patience=QUICK)
    envoy.drains = 5
    envoy.read.clear()

    result = deliver(bundle(files_for("a", version="3")), tmp_path, admin=envoy, patience=QUICK)

    assert envoy.drains < 0
    assert envoy.read == ["lds-3", "cds-3"]
    assert result.removed == ("services/b/eds.json", "services/b/rds-outbound.json")


def test_clusters_of_listeners_that_do_not_drain_in_time_are_left_for_the_next_delivery(
    envoy: FakeEnvoy, tmp_path: Path
) -> None:
    deliver(bundle(NEW), tmp_path, admin=envoy, patience=QUICK)
    envoy.drains = 1_000_000
    fewer = bundle(files_for("a", version="3"))

    first = deliver(fewer, tmp_path, admin=envoy, patience=QUICK)
    envoy.drains = 0
    second = deliver(fewer, tmp_path, admin=envoy, patience=QUICK)
    third = deliver(fewer, tmp_path, admin=envoy, patience=QUICK)

    assert first.left_clusters == ("outbound/b",)
    assert (first.written, first.removed) == (("lds.json",), ())
    assert (second.written, second.left_clusters) == (("cds.json",), ())
    assert not third.has_changed


def test_a_delivery_that_was_killed_is_finished_by_the_next(
    envoy: FakeEnvoy, tmp_path: Path
) -> None:
    (tmp_path / "lds.json").write_bytes(  # in place, so that Envoy has not read it
        OLD["lds.json"].replace(b"lds-1", b"lds-0")
    )
    changed = OLD | {"lds.json": OLD["lds.json"].replace(b"lds-1", b"lds-0")}

    result = deliver(bundle(changed), tmp_path, admin=envoy, patience=QUICK)

    assert result.written == ("lds.json",)
    assert envoy.read == ["lds-0"]


def test_the_envoy_of_another_node_gets_nothing(envoy: FakeEnvoy, tmp_path: Path) -> None:
    envoy.node = "n2"

    with pytest.raises(DeliveryError, match='is node "n2", not "n1"'):
        deliver(bundle(NEW), tmp_path, admin=envoy, patience=QUICK)
    assert read_files(tmp_path) == OLD


def test_a_bundle_with_a_dangling_file_is_refused_before_anything_is_touched(
    envoy: FakeEnvoy, tmp_path: Path
) -> None:
    missing = {path: data for path, data in NEW.items() if path != "services/b/eds.json"}

    with pytest.raises(DeliveryError, match='refers to "services/b/eds.json"'):
        deliver(bundle(missing), tmp_path, admin=envoy, patience=QUICK)
    assert read_files(tmp_path) == OLD
    assert envoy.read == []


def test_an_envoy_that_stops_answering_is_given_up_after_a_while(
    envoy: FakeEnvoy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = envoy.versions
    answers = iter([real()])

    def hung() -> dict[str, str]:
        try:
            return next(answers)
        except StopIteration:
            raise AdminError("no complete answer in time") from None

    monkeypatch.setattr(envoy, "versions", hung)
    with pytest.raises(AdminError, match="no complete answer"):
        deliver(bundle(NEW), tmp_path, admin=envoy, patience=QUICK)
    assert read_files(tmp_path)["cds.json"] == OLD["cds.json"]


def test_a_service_that_comes_to_a_host_asks_for_no_restart(
    envoy: FakeEnvoy, tmp_path: Path
) -> None:
    bootstrap = json.loads(OLD["bootstrap.json"])
    bootstrap["node"]["cluster"] = "a+b"
    changed = OLD | {"bootstrap.json": json.dumps(bootstrap).encode()}

    result = deliver(bundle(changed), tmp_path, admin=envoy, patience=QUICK)

    assert result.written == ("bootstrap.json",)
    assert not result.needs_restart


def test_a_changed_bootstrap_asks_for_a_restart(envoy: FakeEnvoy, tmp_path: Path) -> None:
    new = node_files(listeners=[], clusters=[], admin=(HOST, 9902))
    changed = OLD | {"bootstrap.json": new["bootstrap.json"]}

    assert deliver(bundle(changed), tmp_path, admin=envoy, patience=QUICK).needs_restart
