"""What must be so after a delivery.  Each passes with the real code, and fails with a mutant.

Everything is checked from outside: answers, failed requests, Envoy's own counters, files.
"""

from __future__ import annotations

import json
import socket
import urllib.request
from typing import TYPE_CHECKING

import pytest

from meshc.delivery.agent import deliver as delivery
from meshc.delivery.agent.deliver import deliver
from meshc.delivery.agent.swap import put_file, read_files
from meshc.delivery.errors import DeliveryError, RefusedError
from meshc.delivery.materialize import materialize
from tests.campaigns.load.generator import LoadProcess, Target
from tests.delivery.live import free_ports, get, running_envoy, until
from tests.delivery.mutants.stage import (
    OTHER_HOST,
    Stage,
    cluster,
    first_files,
    following,
    on_stage,
    restarted,
    route_file,
    set_up,
    to,
)
from tests.delivery.node_files import bundle, endpoints
from tests.delivery.test_deliver import NEW, OLD, QUICK, FakeEnvoy

if TYPE_CHECKING:
    from pathlib import Path

_BUSY_WITH = 400
_RATE = 600.0


def kept_connections_outlive_a_cluster_that_goes(folder: Path) -> None:
    """A listener turns from a to b, and a goes: whoever is connected still talks to a."""
    with on_stage(folder, drain_s=2) as stage:
        files = stage.files("2", [to("to-a", stage.one, "b")], cluster("b"))

        failures = _failures_during(stage, files)

        assert not failures, f"requests failed: {failures[:3]}"
        assert get(stage.one) == "y"


def a_busy_envoy_takes_files_in_order(folder: Path) -> None:
    """A listener needs a new cluster while Envoy is busy with other listeners."""
    with on_stage(folder) as stage, pytest.MonkeyPatch.context() as patch:
        listeners = [to("to-a", stage.one, "a"), to("to-b", stage.two, "b")]
        files = stage.files("2", listeners, cluster("a"), cluster("b"))
        _make_busy_at_first_put(stage, patch)

        stage.deliver(files)

        until(lambda: _version(stage) == "lds-2" or _refused(stage) > 0, "an answer to listeners")
        refused = _refused(stage)
        assert refused == 0, f"listeners were refused {refused} times"
        assert get(stage.two) == "y"


def a_cluster_gets_no_requests_before_it_is_warm(folder: Path) -> None:
    """A route turns to a new cluster whose first health check takes a second to fail."""
    with socket.create_server((OTHER_HOST, 0)) as silent, on_stage(folder, follows=True) as stage:
        check = {
            "timeout": "1s",
            "interval": "60s",
            "unhealthy_threshold": 1,
            "healthy_threshold": 1,
            "http_health_check": {"path": "/"},
        }
        new = cluster("b", health_checks=[check], common_lb_config={})
        listener = following("to-a", stage.one, "a")
        files = stage.files("2", [listener], new, a=route_file("ra2", "a", "b"))
        files["lds.json"] = first_files(stage, follows=True)["lds.json"]
        files["services/b/eds.json"] = _checked_at(stage, silent.getsockname()[:2])

        failures = _failures_during(stage, files)

        assert not failures, f"requests failed: {failures[:3]}"
        assert get(stage.one) == "y"


def a_partly_applied_refusal_is_a_refusal(folder: Path) -> None:
    """One listener is fine, the port of another is taken: Envoy applies half and refuses."""
    with on_stage(folder) as stage, socket.create_server(stage.two):
        listeners = [to("new", _spare(), "a"), to("taken", stage.two, "a")]
        files = stage.files("2", listeners, cluster("a"))
        files["cds.json"] = first_files(stage)["cds.json"]

        reported = _refusal_of(stage, files)

        assert reported == "lds.json", f"reported as refused: {reported}"


def a_new_version_of_the_same_is_confirmed(folder: Path) -> None:
    """Clusters and listeners get a new version and stay as they are."""
    with on_stage(folder) as stage:
        files = stage.files("2", [to("to-a", stage.one, "a")], cluster("a"))

        reported = _refusal_of(stage, files)

        assert reported is None, f"reported as not taken: {reported}"
        assert _version(stage) == "lds-2"


def an_envoy_that_starts_after_a_refusal_finds_a_good_set(folder: Path) -> None:
    """A refused set was delivered; then Envoy starts anew."""
    with set_up(folder) as stage, socket.create_server(stage.two):
        first = first_files(stage)
        materialize(bundle(first), stage.directory)
        with running_envoy(stage.directory, stage.admin_address):
            listeners = [to("to-a", stage.one, "a"), to("taken", stage.two, "a")]
            reported = _refusal_of(stage, stage.files("2", listeners, cluster("a")))
        assert reported == "lds.json"

        with restarted(stage):
            refused = _refused(stage)

        assert refused == 0, "a starting Envoy refuses what lies there"
        assert read_files(stage.directory) == first


def an_event_that_envoy_missed_is_made_again(folder: Path) -> None:
    """Envoy overlooks the first rename of every file; a real one cannot be made to."""
    materialize(bundle(OLD), folder)
    envoy = FakeEnvoy(folder)
    envoy.blind = 1

    try:
        deliver(bundle(NEW), folder, admin=envoy, patience=QUICK)
    except DeliveryError as error:
        raise AssertionError(error.message) from error

    assert envoy.versions()["listener_manager.lds.version_text"] == "lds-2"


def endpoints_that_envoy_refuses_are_reported(folder: Path) -> None:
    """A file of endpoints is of another service than it says."""
    with on_stage(folder) as stage:
        files = first_files(stage)
        files["services/a/eds.json"] = endpoints("ea2", "other", stage.y)

        reported = _refusal_of(stage, files)

        assert reported == "services/a/eds.json", f"reported as refused: {reported}"


def a_new_listener_finds_its_cluster(folder: Path) -> None:
    """A listener and the cluster that it needs come in one change."""
    with on_stage(folder) as stage:
        listeners = [to("to-a", stage.one, "a"), to("to-b", stage.two, "b")]

        reported = _refusal_of(stage, stage.files("2", listeners, cluster("a"), cluster("b")))

        assert reported is None, f"reported as refused: {reported}"
        assert get(stage.two) == "y"


def _failures_during(stage: Stage, files: dict[str, bytes]) -> list[str]:
    """Deliver while requests run on kept and on new connections; returns what failed."""
    target = Target(name="a", address=stage.one, answers=frozenset({"x", "y"}), kept=12, new=2)
    with LoadProcess(_RATE) as load:
        load.ask_only([target])
        load.reach(100)
        stage.deliver(files)
        return load.reach(load.tally().total + 100).told


def _refusal_of(stage: Stage, files: dict[str, bytes]) -> str | None:
    """Deliver; returns the file that is said to be refused."""
    try:
        stage.deliver(files)
    except RefusedError as error:
        return error.path
    return None


def _make_busy_at_first_put(stage: Stage, patch: pytest.MonkeyPatch) -> None:
    """Let Envoy begin with hundreds of listeners just before a delivery renames its first file."""
    more = [
        to(f"more-{port}", (OTHER_HOST, port), "a") for port in free_ports(OTHER_HOST, _BUSY_WITH)
    ]
    busy = stage.files("busy", [to("to-a", stage.one, "a"), *more], cluster("a"))
    is_busy = False

    def put(directory: Path, path: str, data: bytes) -> None:
        nonlocal is_busy
        if not is_busy and path == "cds.json":
            is_busy = True
            put_file(directory, "lds.json", busy["lds.json"])
            until(lambda: not _answers_at_once(stage), "an Envoy that is busy")
        put_file(directory, path, data)

    patch.setattr(delivery, "put_file", put)


def _answers_at_once(stage: Stage) -> bool:
    host, port = stage.admin_address
    try:
        with urllib.request.urlopen(f"http://{host}:{port}/ready", timeout=0.02):
            return True
    except OSError:
        return False


def _version(stage: Stage) -> str | None:
    return stage.admin.versions().get("listener_manager.lds.version_text")


def _refused(stage: Stage) -> int:
    return stage.count("listener_manager.lds.update_rejected")


def _spare() -> tuple[str, int]:
    return (OTHER_HOST, free_ports(OTHER_HOST, 1)[0])


def _checked_at(stage: Stage, place: tuple[str, int]) -> bytes:
    """Endpoints of b whose health is asked for at another place, which never answers."""
    response = json.loads(endpoints("eb", "b", stage.y))
    endpoint = response["resources"][0]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    endpoint["health_check_config"] = {
        "address": {"socket_address": {"address": place[0], "port_value": place[1]}}
    }
    return json.dumps(response).encode()
