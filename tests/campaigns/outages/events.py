"""What happens to hosts; one entry a row of the table."""

from __future__ import annotations

import contextlib
import signal
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.requests.application import Mood

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.campaigns.outages.fleet import Fleet
    from tests.campaigns.outages.network import Host

    Happening = Callable[[Fleet, Host], contextlib.AbstractContextManager[None]]

_LOOP_S = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happens to a host, from the start of a block to its end.

    ``must_be_out``: the host answers nothing any more, so that callers must find out.
    ``is_zone``: it happens to two of five hosts at once; ``is_everybody``: to all of them.
    ``cuts``: connections end in the midst of what is under way, so that requests are lost.
    ``lasts_s`` is how long a run lets it last.
    """

    name: str
    text: str
    happen: Happening
    must_be_out: bool = False
    is_zone: bool = False
    is_everybody: bool = False
    cuts: bool = True
    lasts_s: float = 14.0


def _ended_application(how: signal.Signals) -> Happening:
    @contextlib.contextmanager
    def happen(fleet: Fleet, host: Host) -> Iterator[None]:
        fleet.end(host, "application", how)
        yield
        fleet.start_application(host, is_waited_for=False)

    return happen


@contextlib.contextmanager
def _restarting_application(fleet: Fleet, host: Host) -> Iterator[None]:
    is_over = threading.Event()

    def loop() -> None:
        while not is_over.wait(_LOOP_S):
            fleet.end(host, "application", signal.SIGKILL)
            is_over.wait(_LOOP_S)
            fleet.start_application(host)

    thread = threading.Thread(target=loop)
    thread.start()
    yield
    is_over.set()
    thread.join()


@contextlib.contextmanager
def _hanging_application(fleet: Fleet, host: Host) -> Iterator[None]:
    fleet.process(host, "application").hang()
    yield
    fleet.process(host, "application").go_on()


@contextlib.contextmanager
def _hanging_envoys(fleet: Fleet, host: Host) -> Iterator[None]:
    for which in fleet.envoys:
        fleet.process(host, which).hang()
    yield
    for which in fleet.envoys:
        fleet.process(host, which).go_on()


def _in_mood(mood: Mood) -> Happening:
    @contextlib.contextmanager
    def happen(fleet: Fleet, host: Host) -> Iterator[None]:
        fleet.process(host, "application").send(mood.value)
        yield
        fleet.process(host, "application").send(Mood.WELL.value)

    return happen


@contextlib.contextmanager
def _killed_envoys(fleet: Fleet, host: Host) -> Iterator[None]:
    for which in fleet.envoys:
        fleet.end(host, which, signal.SIGKILL)
    yield
    fleet.start_envoys(host, is_waited_for=False)


@contextlib.contextmanager
def _stopped_envoys(fleet: Fleet, host: Host) -> Iterator[None]:
    fleet.stop_envoys_as_a_unit_does(host)
    yield
    fleet.start_envoys(host, is_waited_for=False)


@contextlib.contextmanager
def _restarted_envoys(fleet: Fleet, host: Host) -> Iterator[None]:
    fleet.stop_envoys_as_a_unit_does(host)
    fleet.start_envoys(host)
    yield


@contextlib.contextmanager
def _unplugged(fleet: Fleet, host: Host) -> Iterator[None]:
    fleet.network.unplug(host)
    yield
    fleet.network.plug_in(host)


EVENTS = {
    event.name: event
    for event in (
        Event(
            name="application-killed",
            text="application killed",
            happen=_ended_application(signal.SIGKILL),
        ),
        Event(
            name="application-stopped",
            text="application stopped in good order",
            happen=_ended_application(signal.SIGTERM),
        ),
        Event(
            name="application-restarts",
            text="application killed and started in a loop",
            happen=_restarting_application,
        ),
        Event(
            name="application-hangs",
            text="application hangs",
            happen=_hanging_application,
            must_be_out=True,
            lasts_s=20.0,  # longer than a request may take
        ),
        Event(
            name="application-refuses",
            text="application answers 503",
            happen=_in_mood(Mood.REFUSING),
            cuts=False,
        ),
        Event(
            name="application-slow",
            text="application takes 2 s",
            happen=_in_mood(Mood.SLOW),
            cuts=False,
        ),
        Event(
            name="application-resets",
            text="application resets connections",
            happen=_in_mood(Mood.RESETTING),
        ),
        Event(name="envoy-killed", text="Envoy killed", happen=_killed_envoys),
        Event(name="envoy-stopped", text="Envoy stopped by its unit", happen=_stopped_envoys),
        Event(name="envoy-restarted", text="Envoy restarted by its unit", happen=_restarted_envoys),
        Event(
            name="envoy-hangs",
            text="Envoy hangs",
            happen=_hanging_envoys,
            must_be_out=True,
        ),
        Event(name="host-unplugged", text="host unplugged", happen=_unplugged, must_be_out=True),
        Event(
            name="zone-gone",
            text="zone unplugged, 2 of 5 hosts",
            happen=_unplugged,
            must_be_out=True,
            is_zone=True,
        ),
        Event(
            name="all-gone",
            text="all hosts gone for 3 s",
            happen=_killed_envoys,
            is_everybody=True,
            lasts_s=3.0,
        ),
    )
}
