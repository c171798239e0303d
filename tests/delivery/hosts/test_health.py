"""Endpoints by health: a real Consul, a real Envoy, an agent, and requests all the time."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.consul.server import ConsulServer, own_host
from tests.delivery.hosts.following import APP, KNOWN, Catalogue, FollowingMesh
from tests.delivery.hosts.mesh import FRONT, Host, meshc, sample, scrape
from tests.delivery.live import Load, get, until, upstream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.delivery.hosts.mesh import Address

pytestmark = [pytest.mark.consul, pytest.mark.envoy]

_APPS = {"app1": "127.0.45.20", "app2": "127.0.45.21"}
_KNOWN = {"old1": "127.0.45.22", "old2": "127.0.45.23"}


@pytest.fixture(scope="module")
def consul(consul_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsulServer]:
    """A Consul with a disk, so that it can be killed and come back."""
    folder = tmp_path_factory.mktemp("consul")
    with ConsulServer(
        program=consul_binary,
        log=folder / "log",
        folder=folder / "data",
        host=own_host(9),
        settings_file={
            "server": True,
            "bootstrap": True,
            "performance": {"raft_multiplier": 1},
            "connect": {"enabled": False},
        },
    ) as server:
        yield server


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Address]]:
    with contextlib.ExitStack() as stack:
        yield {
            name: stack.enter_context(upstream(at, name))
            for name, at in {**_APPS, **_KNOWN}.items()
        }


@pytest.fixture(scope="module")
def mesh(servers: dict[str, Address], tmp_path_factory: pytest.TempPathFactory) -> FollowingMesh:
    found = FollowingMesh(
        tmp_path_factory.mktemp("following"), {name: servers[name] for name in _APPS}
    )
    found.reset()
    found.build()
    return found


@pytest.fixture(scope="module")
def running(
    mesh: FollowingMesh, consul: ConsulServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host]:
    with Host(mesh, tmp_path_factory.mktemp("host") / "target") as host:
        environment = told(consul)
        said = meshc("agent", "prepare", *host.arguments(), environment=environment)
        assert said.code == 0, said
        host.start_envoy()
        yield host


@pytest.fixture
def catalogue(consul: ConsulServer, servers: dict[str, Address]) -> Iterator[Catalogue]:
    """A catalogue in which everything passes at first, and only what is the mesh's is there."""
    if consul.process is None:
        consul.start()
    with consul.client() as client:
        found = Catalogue(client)
        for name in _KNOWN:
            found.forget(KNOWN, name)
        for name in _APPS:
            found.say("app", name, servers[name], "passing")
        yield found


@pytest.fixture
def host(running: Host, mesh: FollowingMesh, consul: ConsulServer, catalogue: Catalogue) -> Host:
    """The host with an agent that follows; app1 and app2 pass."""
    del catalogue
    mesh.reset()
    mesh.build()
    if running.envoy is None or running.envoy.poll() is not None:
        running.start_envoy()
    if running.agent is None or running.agent.poll() is not None:
        running.start_agent(environment=told(consul))
    running.meshc("resume")
    until(lambda: used(running, "app") == 2, "both hosts of app")
    return running


def told(consul: ConsulServer) -> dict[str, str]:
    return {**consul.environment(), "MESHC_AGENT_ALLOW_LOOPBACK": "true"}


def dependency(host: Host, service: str) -> dict[str, Any]:
    found = [one for one in host.status().get("endpoints", ()) if one["service"] == service]
    return found[0] if found and host.status()["state"] == "ok" else {}


def used(host: Host, service: str) -> int | None:
    number: int | None = dependency(host, service).get("used")
    return number


def test_a_host_that_stops_passing_gets_no_request_any_more_and_none_fails(
    host: Host, catalogue: Catalogue, servers: dict[str, Address], mesh: FollowingMesh
) -> None:
    answers: Counter[str] = Counter()
    with Load((FRONT, mesh.call), answers) as load:
        until(lambda: {"app1", "app2"} <= answers.keys(), "answers of both")

        catalogue.say("app", "app2", servers["app2"], "critical")

        until(lambda: used(host, "app") == 1, "one host of app")
        before = answers["app2"]
        load.more(100)
        assert answers["app2"] - before <= 2  # under way when the endpoint went
        catalogue.say("app", "app2", servers["app2"], "passing")
        until(lambda: used(host, "app") == 2, "both hosts of app")
        now = answers["app2"]
        until(lambda: answers["app2"] > now, "answers of both again")
    assert set(answers) == {"app1", "app2"}


def test_where_too_few_pass_all_are_used(
    host: Host, catalogue: Catalogue, servers: dict[str, Address], mesh: FollowingMesh
) -> None:
    answers: Counter[str] = Counter()
    with Load((FRONT, mesh.call), answers) as load:
        for name in _APPS:
            catalogue.say("app", name, servers[name], "critical")

        until(lambda: dependency(host, "app").get("panic") is True, "panic")
        answers.clear()
        load.more(50)
        until(lambda: {"app1", "app2"} <= answers.keys(), "answers of both")
    assert set(answers) == {"app1", "app2"}
    assert json.loads((host.target / APP).read_bytes()) == json.loads((mesh.out / APP).read_bytes())
    assert "app for front: PANIC, all 2 used; 0 of 2 pass in Consul" in host.meshc("status").out
    assert sample(scrape(host.metrics_socket), _labelled("endpoints_panic")) == 1


def _labelled(name: str, more: str = "") -> str:
    return f'meshc_agent_{name}{{service="app",consumer="front"{more}}}'


def test_a_consul_that_is_gone_changes_nothing_and_is_followed_when_it_is_back(
    host: Host, consul: ConsulServer, catalogue: Catalogue, servers: dict[str, Address]
) -> None:
    catalogue.say("app", "app2", servers["app2"], "critical")
    until(lambda: used(host, "app") == 1, "one host of app")
    before = host.traces()

    consul.kill()

    until(lambda: bool(dependency(host, "app").get("problem")), "a problem that is shown")
    assert "does not answer" in dependency(host, "app")["problem"]
    assert host.traces() == before
    assert host.meshc("status").code == 0
    assert sample(scrape(host.metrics_socket), _labelled("endpoints_followed")) == 0

    # An agent that comes up now goes on with what lies there.
    host.end_agent()
    host.start_agent(environment=told(consul))
    until(lambda: used(host, "app") == 1, "one host of app, as before")
    until(lambda: bool(dependency(host, "app").get("problem")), "a problem that is shown")
    assert host.traces() == before
    assert sample(scrape(host.metrics_socket), "meshc_agent_nudges_total") == 0

    consul.start()
    with consul.client() as client:
        Catalogue(client).say("app", "app2", servers["app2"], "passing")
    until(lambda: used(host, "app") == 2, "both hosts of app", 90)
    assert dependency(host, "app")["problem"] == ""


def test_what_only_consul_knows_is_reached_and_followed_when_it_moves(
    host: Host, catalogue: Catalogue, servers: dict[str, Address], mesh: FollowingMesh
) -> None:
    at = (FRONT, mesh.known)

    catalogue.say(KNOWN, "old1", servers["old1"], "passing")

    until(lambda: used(host, KNOWN) == 1, "the first place")
    assert get(at) == "old1"
    answers: Counter[str] = Counter()
    with Load(at, answers):
        catalogue.say(KNOWN, "old2", servers["old2"], "passing")
        until(lambda: used(host, KNOWN) == 2, "both places")
        catalogue.forget(KNOWN, "old1")
        until(lambda: used(host, KNOWN) == 1, "the second place alone")
        until(lambda: get(at) == "old2", "an answer of the second")
    assert set(answers) <= {"old1", "old2"}
    catalogue.forget(KNOWN, "old2")
    until(lambda: "knows no instance" in dependency(host, KNOWN).get("problem", ""), "none left")
    assert get(at) == "old2"


def test_a_rollback_goes_to_the_build_before_and_follows_health_in_it(
    host: Host, catalogue: Catalogue, servers: dict[str, Address], mesh: FollowingMesh
) -> None:
    first = host.delivered()
    mesh.more = ", timeouts: {request: 7s}"
    mesh.build()
    until(lambda: host.delivered() not in {"", first}, "the second build")
    for _ in range(2):
        catalogue.say("app", "app2", servers["app2"], "critical")
        until(lambda: used(host, "app") == 1, "one host of app")
        catalogue.say("app", "app2", servers["app2"], "passing")
        until(lambda: used(host, "app") == 2, "both hosts of app")
    catalogue.say("app", "app2", servers["app2"], "critical")
    until(lambda: used(host, "app") == 1, "one host of app")

    said = host.meshc("rollback")

    assert said.code == 0, said
    assert host.delivered() == first
    found = json.loads((host.target / APP).read_bytes())["resources"][0]["endpoints"]
    assert [one["endpoint"]["hostname"] for group in found for one in group["lb_endpoints"]] == [
        "app1"
    ]
    # The build is kept; whether its hosts are well is another matter.
    catalogue.say("app", "app2", servers["app2"], "passing")
    until(lambda: (host.target / APP).read_bytes() == (mesh.out / APP).read_bytes(), "both hosts")
    assert host.delivered() == first
    assert host.status()["paused"]


def test_a_single_run_gives_endpoints_as_they_are_now(
    host: Host, consul: ConsulServer, catalogue: Catalogue, servers: dict[str, Address]
) -> None:
    host.end_agent()
    catalogue.say("app", "app2", servers["app2"], "critical")

    said = meshc("agent", "once", *host.arguments(), environment=told(consul))

    assert said.code == 0, said
    found = (host.target / APP).read_text()
    assert '"app1"' in found
    assert '"app2"' not in found


def test_an_empty_target_is_filled_with_endpoints_as_they_are_now(
    consul: ConsulServer,
    catalogue: Catalogue,
    servers: dict[str, Address],
    mesh: FollowingMesh,
    tmp_path: Path,
) -> None:
    catalogue.say("app", "app1", servers["app1"], "critical")
    catalogue.say(KNOWN, "old1", servers["old1"], "passing")
    host = Host(mesh, tmp_path / "target")
    mesh.reset()
    mesh.build()

    said = meshc("agent", "prepare", *host.arguments(), environment=told(consul))

    assert said.code == 0, said
    assert _hosts_in(host, APP) == ["app2"]
    assert _hosts_in(host, f"services/{KNOWN}/eds@front.json") == [f"{KNOWN}-old1"]


def _hosts_in(host: Host, path: str) -> list[str]:
    (resource,) = json.loads((host.target / path).read_bytes())["resources"]
    groups = resource.get("endpoints", [])
    return [one["endpoint"]["hostname"] for group in groups for one in group["lb_endpoints"]]


def test_health_is_followed_while_the_source_gives_nothing(
    host: Host,
    consul: ConsulServer,
    catalogue: Catalogue,
    servers: dict[str, Address],
    mesh: FollowingMesh,
) -> None:
    away = mesh.out.with_name("away")
    host.end_agent()
    mesh.out.rename(away)
    try:
        host.start_agent(environment=told(consul))

        catalogue.say("app", "app2", servers["app2"], "critical")

        until(lambda: _hosts_in(host, APP) == ["app1"], "one host of app")
        until(lambda: host.status().get("confirmed") is True, "Envoy's word")
    finally:
        away.rename(mesh.out)


def test_endpoints_that_somebody_changed_by_hand_are_put_right(
    host: Host, catalogue: Catalogue, servers: dict[str, Address]
) -> None:
    catalogue.say("app", "app2", servers["app2"], "critical")
    until(lambda: used(host, "app") == 1, "one host of app")
    chosen = (host.target / APP).read_bytes()
    draft = host.target / "by-hand"
    draft.write_bytes(chosen.replace(b'"app1"', b'"me"'))

    draft.rename(host.target / APP)

    until(lambda: (host.target / APP).read_bytes() == chosen, "the choice, once more")


def test_the_status_names_who_is_not_used_and_the_history_tells_of_changes(
    host: Host, catalogue: Catalogue, servers: dict[str, Address]
) -> None:
    catalogue.say("app", "app2", servers["app2"], "critical")
    until(lambda: used(host, "app") == 1, "one host of app")

    text = host.meshc("status").out
    shown = json.loads(host.meshc("status", "--json").out)["endpoints"]

    place = f"{servers['app2'][0]}:{servers['app2'][1]} (app2)"
    assert f"app for front: 1 of 2 used; 1 of 2 pass in Consul; not {place}" in text
    assert shown[0] == {
        "service": "app",
        "consumer": "front",
        "only_in_consul": False,
        "known": 2,
        "passing": 1,
        "used": 1,
        "panic": False,
        "left_out": [place],
        "refused": [],
        "problem": "",
    }
    assert sample(scrape(host.metrics_socket), _labelled("endpoints", ',state="used"')) == 1
    assert any(one["what"] == "endpoints changed" for one in host.history())
