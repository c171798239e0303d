"""A single delivery: its exit codes, its last words, and deliveries that nobody confirms."""

from __future__ import annotations

import hashlib
import json
import socket
from typing import TYPE_CHECKING

from tests.delivery.hosts.mesh import FRONT
from tests.delivery.live import get

if TYPE_CHECKING:
    from pathlib import Path

    from tests.delivery.hosts.mesh import Host


def _add_app2(host: Host) -> None:
    host.mesh.app["app2"] = host.mesh.apps["app2"]
    host.mesh.build()


def _answers(host: Host) -> set[str]:
    return {get((FRONT, host.mesh.calls["app"])) for _ in range(8)}


def _disk(host: Host) -> dict[str, str]:
    return {path: hashlib.sha256(data).hexdigest() for path, data in host.files().items()}


def test_a_delivery_that_envoy_confirms_ends_with_0(ready: Host) -> None:
    _add_app2(ready)

    said = ready.once()

    assert said.code == 0
    assert said.out == f"OK: generation {ready.delivered()[:12]} runs, confirmed by Envoy\n"
    assert _answers(ready) == {"app1", "app2"}


def test_what_runs_already_ends_with_0_and_touches_nothing(ready: Host) -> None:
    before = ready.traces()

    said = ready.once()

    assert said.code == 0
    assert ready.traces() == before


def test_what_the_local_envoy_refuses_ends_with_1_and_never_reaches_the_target(
    ready: Host,
) -> None:
    before = ready.traces()

    def spoil(content: dict[str, list[dict[str, object]]]) -> None:
        content["resources"][0]["connect_timeout"] = "-5s"

    ready.mesh.forge("cds.json", spoil)
    said = ready.once("--envoy", "auto")

    assert said.code == 1
    assert 'this host\'s Envoy refuses "inbound/front": Invalid duration' in said.err
    assert '(resource "inbound/front") from front.yaml:3:3' in said.err
    assert "do: mend front.yaml:3:3, build and publish; if the cause was this host: " in said.err
    assert ready.traces() == before
    assert ready.status()["validation"].startswith("refused: Invalid duration")


def test_what_the_running_envoy_refuses_ends_with_1_and_serves_on(ready: Host) -> None:
    files = ready.files()

    with socket.create_server((FRONT, 0)) as taken:
        ready.mesh.calls["store"] = taken.getsockname()[1]
        ready.mesh.build()
        first, second = ready.once(), ready.once()

    assert (first.code, second.code) == (1, 1)
    assert first.err.splitlines()[-2].startswith("REFUSED: generation ")
    assert [one["what"] for one in ready.history()[-2:]].count("rejected") == 1
    assert ready.files() == files
    assert _answers(ready) == {"app1"}


def test_what_a_guard_holds_ends_with_1(ready: Host) -> None:
    ready.mesh.app |= {f"x{number}": ("127.0.45.4", 1000 + number) for number in range(4)}
    ready.mesh.build()
    ready.once()
    ready.mesh.reset()
    ready.mesh.build()

    said = ready.once()
    allowed = ready.once("--allow-shrink")

    assert said.code == 1
    assert "HELD: generation" in said.err
    assert allowed.code == 0


def test_a_source_that_is_not_there_ends_with_3_and_says_so(ready: Host, tmp_path: Path) -> None:
    said = ready.once("--source", tmp_path / "none")

    assert said.code == 3
    last, todo = said.err.splitlines()[-2:]
    assert f'SOURCE FAILING: the source "{tmp_path}/none" is not there' in last
    assert todo.startswith("  do: is it mounted, checked out, spelt right?")


def test_an_envoy_that_does_not_run_ends_with_3_and_keeps_what_it_will_find(ready: Host) -> None:
    files = ready.files()
    ready.end_envoy()
    _add_app2(ready)

    said = ready.once()

    assert said.code == 3
    assert "ENVOY DOES NOT ANSWER: nobody listens at Envoy's admin address" in said.err
    assert ready.files() == files


def test_an_empty_target_is_filled_and_that_is_told(ready: Host, tmp_path: Path) -> None:
    other = type(ready)(ready.mesh, tmp_path / "target")

    said = other.once()

    assert said.code == 0
    assert said.out.startswith("LAID OUT: generation ")
    assert _disk(other) == ready.mesh.files()


def test_unconfirmed_delivers_in_order_and_says_that_nothing_is_confirmed(ready: Host) -> None:
    _add_app2(ready)

    said = ready.once("--unconfirmed", "--unconfirmed-wait", "0.3")
    told = ready.meshc("status")

    assert said.code == 0
    assert said.out.startswith("DELIVERED, NOT CONFIRMED: generation ")
    assert "nobody asks Envoy about it" in said.out
    assert "NOT confirmed" in told.out
    assert ready.history()[-1]["confirmed"] is False
    assert _disk(ready) == ready.mesh.files()
    assert _answers(ready) == {"app1", "app2"}


def test_a_bootstrap_without_admin_can_only_be_delivered_unconfirmed(ready: Host) -> None:
    bootstrap = ready.target / "bootstrap.json"
    content = json.loads(bootstrap.read_bytes())
    del content["admin"]
    ready.mesh.forge("bootstrap.json", lambda found: found.pop("admin"))
    bootstrap.write_text(json.dumps(content))
    (ready.target / ".agent" / "ledger.json").unlink()

    asked = ready.once()
    unasked = ready.once("--unconfirmed", "--unconfirmed-wait", "0.1")

    assert asked.code == 3
    assert "the bootstrap has no admin address, so no delivery could be confirmed" in asked.err
    assert unasked.code == 0
