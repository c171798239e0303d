"""Following a thing in Consul for years: blocking queries that neither give up nor run wild.

The rules about the index are Consul's own advice: it means nothing once it went backwards or is
zero, and a reply is no promise that anything changed.  The limits on speed hold against a server
that answers every waiting question at once.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from meshc.consul.errors import ConsulDeniedError, ConsulError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from meshc.consul.reading import Reply

_T = TypeVar("_T")
DEFAULT_WAIT = 60.0
_WAIT_JITTER = 0.1
_LEAST_GAP = 0.1
_LONGEST_GAP = 1.0
_FIRST_PAUSE = 1.0
_FIRST_PAUSE_DENIED = 8.0
_LONGEST_PAUSE = 60.0
_LOOK_AT_TOKEN = 1.0


class Watched(Protocol):
    """What `follow` needs of a client."""

    def is_closed(self) -> bool:
        """Whether nothing will be asked any more."""

    def rest(self, seconds: float) -> bool:
        """Wait; True at once when the client is closed."""

    def token_mark(self) -> object:
        """Return what differs when the token differs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard(Generic[_T]):
    """Consul has answered; ``is_new`` where the value differs from the last one."""

    reply: Reply[_T]
    is_new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """Consul has not answered as it should, and is asked again in ``pause`` seconds."""

    error: ConsulError
    pause: float


def follow(
    client: Watched,
    ask: Callable[[int, float], Reply[_T]],
    *,
    wait: float = DEFAULT_WAIT,
    longest_pause: float = _LONGEST_PAUSE,
    chance: Callable[[], float] = random.random,
) -> Iterator[Heard[_T] | Missed]:
    """Yield every answer and every failure until the client is closed.

    ``ask`` gets an index, 0 for none, and for how many seconds Consul may hold the answer back.
    At most ten questions a second are asked, fewer when answers bring nothing new; after a
    failure the pause is drawn from a range that doubles up to a minute, or ``longest_pause``, so
    that a thousand agents do not come back at once.  A changed token ends the pause after a denial.
    """
    index = 0
    last: list[_T] = []
    failures = 0
    gap = _LEAST_GAP
    while not client.is_closed():
        started = time.monotonic()
        try:
            reply = ask(index, wait * (1 - _WAIT_JITTER * chance()))
        except ConsulError as error:
            if client.is_closed():
                return
            pause = min(longest_pause, _pause(error, failures)) * chance()
            failures += 1
            # A Consul that comes back may have forgotten: a question with an index from before
            # would then wait for ever.
            index = 0
            yield Missed(error=error, pause=pause)
            _recover(client, error, pause)
            continue
        failures = 0
        is_new = not last or last[0] != reply.value
        last = [reply.value]
        index = reply.index if reply.index >= index else 0
        yield Heard(reply=reply, is_new=is_new)
        gap = _LEAST_GAP if is_new else min(gap * 2, _LONGEST_GAP)
        client.rest(max(0.0, started + gap - time.monotonic()))


def _pause(error: ConsulError, failures: int) -> float:
    """Return the longest pause after so many failures in a row."""
    first = _FIRST_PAUSE_DENIED if isinstance(error, ConsulDeniedError) else _FIRST_PAUSE
    return min(_LONGEST_PAUSE, first * 2.0 ** min(failures, 16))


def _recover(client: Watched, error: ConsulError, pause: float) -> None:
    end = time.monotonic() + max(pause, _LEAST_GAP)
    if not isinstance(error, ConsulDeniedError):
        client.rest(max(pause, _LEAST_GAP))
        return
    mark = client.token_mark()
    while (left := end - time.monotonic()) > 0:
        if client.rest(min(left, _LOOK_AT_TOKEN)) or client.token_mark() != mark:
            return
