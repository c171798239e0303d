"""The resident process: what it weighs, and what stops, storms and clocks do to it."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.delivery.agent.resident import Resident, lying, numbered, publish
from tests.delivery.live import until
from tests.delivery.sources.raw_server import RawServer, reply

_HEAVY = {
    *("pydantic", "pydantic_core", "google", "grpc", "click", "yaml", "jinja2", "orjson"),
    *("ssl", "_ssl", "email", "http", "urllib.request", "asyncio", "logging.config"),
    *("multiprocessing", "unittest", "xml", "meshc.spec", "meshc.compile"),
    *("meshc.validate", "meshc.plan", "meshc.cli", "meshc.pipeline", "meshc.assemble"),
}
_INSTANCES = "/proc/sys/user/max_inotify_instances"
_MOST_KIB = 30 * 1024
_TEN_YEARS_S = 10 * 365 * 86400
_IMPORTED = re.compile(r"^import time:\s+\d+ \|\s+\d+ \|\s*(\S+)$", re.MULTILINE)
_STORM_S = (3.0, 30.0)
"""At least, and until something is delivered in the midst of it."""
_WITHOUT_SOURCE_S = 2.0
_OTHER_CLOCK = """
import sys, time
from pathlib import Path
real, offset = time.time, Path(sys.argv.pop(1))
time.time = lambda: real() + float(offset.read_text())
time.time_ns = lambda: int(time.time() * 1e9)
from meshc.delivery.agent.__main__ import main
sys.exit(main())
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    publish(tmp_path / "out", numbered(0))
    return tmp_path


def change(root: Path, number: int) -> None:
    publish(root / "out", numbered(number))


@pytest.mark.parametrize("kind", ["directory", "web"])
def test_what_the_compiler_needs_is_never_loaded(root: Path, kind: str) -> None:
    with RawServer() as server:
        serve(server, root / "out")
        source = str(root / "out") if kind == "directory" else server.address
        with Resident(
            root, {"source": source, "poll": 0.2}, environment={"PYTHONPROFILEIMPORTTIME": "1"}
        ) as agent:
            agent.await_files(numbered(0))
            change(root, 1)
            serve(server, root / "out")
            agent.await_files(numbered(1))
            libraries = agent.proc("maps")
            code = agent.end()

    found = set(_IMPORTED.findall((root / "log").read_text()))
    assert code == 0
    assert "meshc.delivery.agent.run" in found
    assert {name for name in found if any(_is_in(name, heavy) for heavy in _HEAVY)} == set()
    assert "libcrypto" not in libraries


def _is_in(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def serve(server: RawServer, out: Path) -> None:
    for place in out.rglob("*"):
        if place.is_file():
            server.answers[f"/{place.relative_to(out).as_posix()}"] = reply(place.read_bytes())


def test_it_stays_small_and_lets_go_of_everything(root: Path) -> None:
    with Resident(root) as agent:
        agent.await_files(numbered(0))
        change(root, 1)
        agent.await_files(numbered(1))
        before = held(agent)
        for number in range(2, 22):
            change(root, number)
            agent.await_files(numbered(number))
        after = held(agent)
        memory = int(agent.proc("status").partition("VmRSS:")[2].split()[0])

    assert after == before
    assert memory < _MOST_KIB
    assert len(list((agent.target / ".agent/generations").glob("*.json"))) <= 4


def held(agent: Resident) -> tuple[int, int]:
    """Descriptors and threads."""
    threads = agent.proc("status").partition("Threads:")[2].split()[0]
    return len(list(Path(f"/proc/{agent.process.pid}/fd").iterdir())), int(threads)


def test_without_any_envoy_it_says_that_nothing_is_confirmed(root: Path) -> None:
    with Resident(root) as agent:
        agent.await_files(numbered(0))
        change(root, 1)
        agent.await_files(numbered(1))
        until(lambda: agent.status()["state"] == "unconfirmed", "the word for it")
        status = agent.status()

    assert status["confirmed"] is False
    assert "NOT CONFIRMED" in status["summary"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_in_the_midst_of_a_delivery_leaves_the_rest_to_the_next_start(
    root: Path, number: signal.Signals
) -> None:
    services = ("app", "b", "c", "d")
    publish(root / "out", numbered(0, services=services))
    with Resident(root, {"unconfirmed_wait": 0.5}) as agent:
        agent.await_files(numbered(0, services=services))
        publish(root / "out", numbered(1, services=services))
        until(lambda: lying(agent.target) != numbered(0, services=services), "a first new file")
        is_mixed = lying(agent.target) != numbered(1, services=services)

        code = agent.end(number)
    ledger = json.loads((agent.target / ".agent/ledger.json").read_bytes())["ledger"]
    is_mixed_at_the_end = lying(agent.target) != numbered(1, services=services)

    with Resident(root, {"unconfirmed_wait": 0.1}) as agent:
        agent.await_files(numbered(1, services=services))
        until(lambda: agent.status()["delivering"] is None, "the end of it")

    assert (is_mixed, is_mixed_at_the_end) == (True, True)
    assert code == 0
    assert ledger["intent"] is not None
    assert [path.name for path in agent.target.iterdir() if path.name.startswith(".meshc")] == []


def test_after_a_long_stop_it_catches_up_in_one_step(root: Path) -> None:
    with Resident(root) as agent:
        agent.await_files(numbered(0))
        before = len(agent.said("delivered"))
        agent.process.send_signal(signal.SIGSTOP)
        for number in range(1, 31):
            change(root, number)
        agent.process.send_signal(signal.SIGCONT)

        agent.await_files(numbered(30))
        delivered = len(agent.said("delivered")) - before

    assert delivered == 1


def test_in_a_storm_of_changes_only_some_are_delivered_and_the_newest_wins(root: Path) -> None:
    with Resident(root, {"unconfirmed_wait": 0.05}) as agent:
        agent.await_files(numbered(0))
        before = len(agent.said("delivered"))
        number = during = 0
        least, most = (time.monotonic() + seconds for seconds in _STORM_S)
        while time.monotonic() < (most if not during else least):
            number += 1
            change(root, number)
            during = len(agent.said("delivered")) - before

        agent.await_files(numbered(number))
        delivered = len(agent.said("delivered")) - before
        source_failures = agent.status()["source"]["failures"]

    assert number > 30
    assert during >= 1  # a storm starves nobody
    assert delivered < number / 2
    assert source_failures == 0


@pytest.mark.parametrize("jump", [_TEN_YEARS_S, -_TEN_YEARS_S])
def test_a_clock_that_jumps_ten_years_changes_nothing(root: Path, jump: int) -> None:
    offset = root / "offset"
    offset.write_text("0")
    program = (sys.executable, "-c", _OTHER_CLOCK, str(offset))
    with Resident(root, {"poll": 0.2, "probe": 0.2}, program=program) as agent:
        agent.await_files(numbered(0))
        (root / "jumped").write_text(str(jump))
        (root / "jumped").rename(offset)
        for number in range(1, 6):
            change(root, number)
            agent.await_files(numbered(number))
        (root / "back").write_text("0")
        (root / "back").rename(offset)
        change(root, 6)
        agent.await_files(numbered(6))
        code = agent.end()

    stamps = [one["time"] for one in agent.said("delivered")]
    years = {int(stamp[:4]) for stamp in stamps}
    assert code == 0
    assert max(years) - min(years) >= 9
    assert agent.said("internal error") == []


def test_a_second_process_names_the_first_and_ends_with_3(root: Path) -> None:
    with Resident(root) as first:
        first.await_files(numbered(0))
        with Resident(root) as second:
            code = second.process.wait(30)

        assert code == 3
        reason = second.said("cannot run")[0]["reason"]
        assert f"process {first.process.pid}" in reason
        assert first.process.poll() is None


def test_a_failing_source_is_asked_ever_more_rarely_and_never_given_up(root: Path) -> None:
    with RawServer() as server:
        broken = reply(b"", status="500 Internal Server Error")
        server.answers["/manifest.json"] = broken
        with Resident(root, {"source": server.address, "poll": 0.02}) as agent:
            until(lambda: bool(server.asked), "a first attempt")
            end = time.monotonic() + _WITHOUT_SOURCE_S
            until(lambda: time.monotonic() > end, "some time")
            attempts = len(server.asked)
            until(lambda: agent.status().get("state") == "source-failing", "a word about it")
            serve(server, root / "out")

            agent.await_files(numbered(0))
            failures = agent.status()["source"]["failures"]

    assert 2 <= attempts <= 20  # at every poll it would be a hundred
    assert failures == 0


@pytest.fixture
def without_inotify() -> tuple[str, ...]:
    """What starts an agent in a place of its own, in which nobody gets an inotify instance."""
    command = ("unshare", "--user", "--map-root-user")
    if not shutil.which("unshare") or subprocess.run([*command, "true"], check=False).returncode:
        pytest.skip("no user namespace is to be had here")
    line = f'echo 0 >{_INSTANCES}; exec "$@"'
    return (*command, "sh", "-c", line, "sh", sys.executable, "-m", "meshc.delivery.agent")


def test_without_inotify_it_polls_and_says_so(root: Path, without_inotify: tuple[str, ...]) -> None:
    with Resident(root, {"poll": 0.1}, program=without_inotify) as agent:
        agent.await_files(numbered(0))
        change(root, 1)
        agent.await_files(numbered(1))
        notes = agent.status()["notes"]

    assert len(agent.said("polling")) == 1
    assert any("the source is polled: inotify" in note for note in notes)


def test_when_inotify_comes_back_it_says_no_more_that_it_polls(
    root: Path, without_inotify: tuple[str, ...]
) -> None:
    def is_polled() -> bool:
        return any("the source is polled" in note for note in agent.status().get("notes", ()))

    with Resident(root, {"poll": 0.1}, program=without_inotify) as agent:
        agent.await_files(numbered(0))
        until(is_polled, "a word about it")
        place = ("nsenter", "--user", "--target", str(agent.process.pid))
        line = f"echo 16 >{_INSTANCES}"
        subprocess.run([*place, "--preserve-credentials", "sh", "-c", line], check=True)

        until(lambda: not is_polled(), "no word about it")
