"""An agent that follows its source, as an operator sees it through the command line."""

from __future__ import annotations

import json
import socket
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.delivery.hosts.mesh import FRONT, NODE, sample, scrape
from tests.delivery.live import Load, free_ports, get, until

if TYPE_CHECKING:
    from tests.delivery.hosts.mesh import Host

STORE = "front.yaml:9:3"
"""Where front's dependency on store stands in its spec."""


def _publish_taken_port(host: Host) -> socket.socket:
    """Let front listen where somebody else does, which only a running Envoy can find out."""
    taken = socket.create_server((FRONT, 0))
    host.mesh.calls["store"] = taken.getsockname()[1]
    host.mesh.build()
    return taken


def _answers(host: Host, count: int = 8) -> set[str]:
    return {get((FRONT, host.mesh.calls["app"])) for _ in range(count)}


def test_a_change_of_the_source_reaches_the_traffic(followed: Host) -> None:
    followed.mesh.app["app2"] = followed.mesh.apps["app2"]

    followed.mesh.build()
    followed.await_current()

    assert _answers(followed) == {"app1", "app2"}


def test_the_status_for_programs_has_one_version_desired_delivered_and_accepted(
    followed: Host,
) -> None:
    followed.mesh.calls["store"] = free_ports(FRONT, 1)[0]
    followed.mesh.build()
    followed.await_current()
    wanted = followed.mesh.versions() | {"EDS": "2 of 2 files", "RDS": "3 of 3 files"}
    until(lambda: followed.status()["accepted"] == wanted, "Envoy's word on each type")

    said = followed.meshc("status", "--json")

    status = json.loads(said.out)
    assert said.code == 0
    assert status["running"] is True
    assert status["confirmed"] is True
    assert status["desired"] == status["delivered"]
    assert status["accepted"] == wanted
    assert status["envoy"]["version"].startswith("1.")
    assert status["subscriptions"] == 7


def test_the_first_line_of_the_status_says_that_all_is_well(followed: Host) -> None:
    generation = followed.delivered()

    said = followed.meshc("status")

    assert said.code == 0
    assert said.first == f"OK: generation {generation[:12]} runs, confirmed by Envoy"
    assert f"envoy         {followed.status()['envoy']['version']} running at" in said.out


def test_files_that_do_not_change_are_not_touched(followed: Host) -> None:
    before = followed.traces()
    followed.mesh.app["app2"] = followed.mesh.apps["app2"]

    followed.mesh.build()
    followed.await_current()

    after = followed.traces()
    assert {path for path in after if before[path] != after[path]} == {"services/app/eds.json"}


def test_what_only_the_running_envoy_refuses_is_taken_back_under_traffic(followed: Host) -> None:
    before, files = followed.delivered(), followed.files()
    answers: Counter[str] = Counter()

    with Load((FRONT, followed.mesh.calls["app"]), answers) as load:
        with _publish_taken_port(followed):
            status = followed.await_state("quarantined")
        load.more(50)

    assert answers.keys() == {"app1"}
    assert load.reconnects == 0
    assert followed.files() == files
    assert status["delivered"]["generation"] == before
    assert status["accepted"]["LDS"] == json.loads(files["lds.json"])["version_info"]


def test_a_refusal_is_told_with_envoys_words_the_resource_and_the_line_of_the_spec(
    followed: Host,
) -> None:
    with _publish_taken_port(followed):
        followed.await_state("quarantined")
        said = followed.meshc("status")
        at = followed.mesh.calls["store"]

    line = said.first
    assert said.code == 1
    assert line.startswith("REFUSED: generation ")
    assert f'(resource "outbound/store@front") from {STORE}: ' in line
    assert f"cannot bind '{FRONT}:{at}': Address already in use" in line
    assert f"do: mend {STORE}, build and publish; if the cause was this host: " in said.out


def test_a_refusal_is_in_the_history_and_in_the_metrics(followed: Host) -> None:
    counter = 'meshc_agent_deliveries_total{outcome="rejected"}'
    before = sample(scrape(followed.metrics_socket), counter)

    with _publish_taken_port(followed):
        generation = followed.await_state("quarantined")["desired"]["generation"]

    last = followed.history()[-1]
    assert last["what"] == "rejected"
    assert last["generation"] == generation
    assert last["place"] == STORE
    assert "Address already in use" in last["reason"]
    page = scrape(followed.metrics_socket)
    assert sample(page, counter) == before + 1
    assert sample(page, 'meshc_agent_state{state="quarantined"}') == 1


def test_a_refused_generation_is_not_tried_again_until_it_changes(followed: Host) -> None:
    counters = followed.admin
    subscription = "listener_manager.lds."
    manifest, aside = followed.mesh.out / "manifest.json", followed.mesh.out / "aside"

    with _publish_taken_port(followed):
        followed.await_state("quarantined")
    attempts = counters.update_attempts()[f"{subscription}update_attempt"]
    manifest.rename(aside)
    until(lambda: followed.status()["source"]["failures"] > 0, "a failed fetch")
    aside.rename(manifest)
    until(lambda: followed.status()["source"]["failures"] == 0, "another fetch of the same")
    again = counters.update_attempts()[f"{subscription}update_attempt"]
    followed.mesh.calls["store"] = free_ports(FRONT, 1)[0]
    followed.mesh.build()
    followed.await_current()

    assert again == attempts
    assert _answers(followed) == {"app1"}


def test_a_word_of_the_operator_has_a_refused_generation_tried_again(followed: Host) -> None:
    with _publish_taken_port(followed):
        bad = followed.await_state("quarantined")["desired"]["generation"]

    said = followed.meshc("allow", bad[:10])  # the port is free by now
    followed.await_current()

    assert (said.code, said.out) == (0, f"allow {bad[:10]}: done\n")
    assert followed.delivered() == bad
    assert bad not in followed.status()["quarantine"]


def test_clusters_that_are_refused_in_part_are_all_taken_back(followed: Host) -> None:
    files = followed.files()

    def spoil(content: dict[str, Any]) -> None:
        clusters = {one["name"]: one for one in content["resources"]}
        content["resources"].append({**clusters["inbound/front"], "name": "fine"})
        spoilt = json.dumps(clusters["inbound/front"]).replace(f'"{FRONT}"', '"no-address"')
        clusters["inbound/front"].update(json.loads(spoilt))

    followed.mesh.forge("cds.json", spoil)
    status = followed.await_state("quarantined")

    refusal = status["quarantine"][status["desired"]["generation"]]
    assert refusal["resource"] == "inbound/front"
    assert refusal["place"] == "front.yaml:3:3"
    assert refusal["path"] == "cds.json"
    assert followed.files() == files
    assert "fine" not in followed.admin.cluster_versions()
    assert _answers(followed) == {"app1"}


def test_what_shrinks_too_much_waits_for_a_word(followed: Host) -> None:
    many = {f"x{number}": ("127.0.45.4", 1000 + number) for number in range(4)}
    followed.mesh.app |= many
    followed.mesh.build()
    followed.await_current()
    big = followed.files()
    for name in many:
        del followed.mesh.app[name]

    followed.mesh.build()
    generation = followed.await_state("held")["desired"]["generation"]
    told = followed.meshc("status")
    untouched = followed.files()
    allowed = followed.meshc("allow", generation[:10])
    followed.await_current()

    assert told.code == 1
    assert told.first.startswith(f"HELD: generation {generation[:12]} is not delivered")
    assert "endpoints shrink from 6 to 2, by 67%; allowed are 30%" in told.first
    assert f"do: if that is intended: meshc agent allow {generation[:12]}" in told.out
    assert untouched == big
    assert (allowed.code, allowed.out) == (0, f"allow {generation[:10]}: done\n")


def test_what_no_guard_holds_cannot_be_allowed(followed: Host) -> None:
    said = followed.meshc("allow", followed.delivered()[:8])

    assert said.code == 1
    assert "neither guard nor quarantine holds generation" in said.err


def test_two_listeners_swap_their_addresses(followed: Host) -> None:
    followed.mesh.calls["store"] = free_ports(FRONT, 1)[0]
    followed.mesh.build()
    followed.await_current()
    app, store = followed.mesh.calls["app"], followed.mesh.calls["store"]

    followed.mesh.calls = {"app": store, "store": app}
    followed.mesh.build()
    followed.await_current()

    assert get((FRONT, store)) == "app1"


def test_a_file_that_was_written_over_is_put_back(followed: Host) -> None:
    place = followed.target / "services/app/eds.json"
    right = place.read_bytes()

    place.write_bytes(b"{}")
    until(lambda: place.read_bytes() == right, "the right file")
    followed.await_current()

    assert _answers(followed) == {"app1"}


def test_a_file_that_was_replaced_by_another_valid_one_is_put_back(followed: Host) -> None:
    place = followed.target / "cds.json"
    content = json.loads(place.read_bytes())
    content["version_info"] = "by hand"
    draft = followed.target / "draft"
    draft.write_text(json.dumps(content))

    draft.rename(place)
    until(followed.is_current, "the right file")

    assert followed.history()[-1]["what"] == "delivered again"
    assert followed.admin.versions()["cluster_manager.cds.version_text"] != "by hand"


def test_files_that_were_removed_are_put_back(followed: Host) -> None:
    for path in ("bootstrap.json", "services/front/rds-inbound.json", "lds.json"):
        (followed.target / path).unlink()

    followed.await_current()

    assert _answers(followed) == {"app1"}


def test_a_second_agent_on_the_same_target_is_refused(followed: Host) -> None:
    assert followed.agent is not None

    said = followed.once()

    assert said.code == 3
    assert f'another agent has "{followed.target}": process {followed.agent.pid}' in said.err
    assert followed.agent.poll() is None


def test_history_tells_the_newest_events_last(followed: Host) -> None:
    followed.meshc("pause", "--reason", "first")
    followed.meshc("resume")

    whole = followed.history()
    short = followed.meshc("history", "-n", "2")

    assert [entry["what"] for entry in whole[-2:]] == ["paused", "resumed"]
    assert [entry["at"] for entry in whole] == sorted(entry["at"] for entry in whole)
    lines = short.out.splitlines()
    assert len(lines) == 2
    assert lines[0].endswith("paused  reason: first")


def test_the_latency_is_measured_from_the_change_and_not_from_the_start(followed: Host) -> None:
    followed.end_agent()
    followed.start_agent()
    followed.await_current()
    before = time.time()
    followed.mesh.app["app2"] = followed.mesh.apps["app2"]

    followed.mesh.build()
    followed.await_current()

    last = followed.history()[-1]
    assert last["what"] == "delivered"
    assert last["seconds"] <= last["at"] - before


def test_nobody_calls_the_metrics_by_another_path(followed: Host) -> None:
    page = scrape(followed.metrics_socket, path="/")

    assert page.startswith("HTTP/1.1 404 Not Found")


def test_metrics_say_what_runs(followed: Host) -> None:
    generation = followed.delivered()[:12]

    page = scrape(followed.metrics_socket)

    info = f'{{node="{NODE}",desired="{generation}",delivered="{generation}"}}'
    assert sample(page, f"meshc_agent_generation_info{info}") == 1
    assert sample(page, "meshc_agent_confirmed") == 1
    assert sample(page, 'meshc_agent_state{state="ok"}') == 1
