"""Follows the health of services in Consul, each with a thread of its own, and says what is new.

What Consul says last stays what is known: an error, an empty answer, one that the token may see a
part of only, or one that nobody could believe, changes nothing but the words about it.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from meshc.consul.client import ConsulClient
from meshc.consul.errors import ConsulDeniedError, ConsulError, ConsulReplyError
from meshc.consul.watch import Heard, follow
from meshc.delivery.agent.health.instances import MOST_INSTANCES, read_instances
from meshc.diagnostics.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from meshc.consul.reading import Reply
    from meshc.consul.settings import ConsulSettings
    from meshc.delivery.agent.health.instances import Instance

_WAIT_S = 60.0
_MAX_BODY = 4 * 1024 * 1024
"""A thousand instances with some checks each."""
_ASK_ONCE_S = 3.0
LEAST_APART_S = 1.0
"""A check that flaps changes endpoints once in that time at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a service: its instances, None: nothing so far; and what is wrong."""

    instances: tuple[Instance, ...] | None = None
    problem: str = ""


class Follower:
    """Follows services until it is closed.

    ``notify`` is told a moment of the monotonic clock when something is new, at most once in
    `LEAST_APART_S`, and what is known changes with that and at no other time.  Without it
    nothing is followed: whoever asks waits for an answer.
    """

    def __init__(self, settings: ConsulSettings, notify: Callable[[float], None] | None) -> None:
        self._notify = notify
        if notify is None:
            settings = replace(settings, timeout=min(settings.timeout, _ASK_ONCE_S))
        self._client = ConsulClient(settings, max_body=_MAX_BODY, user_agent="meshc-agent")
        self._lock = threading.Condition()
        self._watches: dict[str, _Watch] = {}
        self._heard: dict[str, tuple[Instance, ...]] = {}
        self._shown: dict[str, tuple[Instance, ...]] = {}
        self._problems: dict[str, str] = {}
        self._told_at = 0.0
        self._timer: threading.Timer | None = None

    @property
    def where(self) -> str:
        """Which Consul is asked."""
        return self._client.where

    def know(self, service: str) -> Known:
        """Return what is known of a service, and follow it from now on."""
        if self._notify is None:
            self._ask_once(service)
        with self._lock:
            if self._notify is not None and service not in self._watches:
                self._begin(service)
            return Known(
                instances=self._shown.get(service), problem=self._problems.get(service, "")
            )

    def problem_of(self, service: str) -> str:
        """Return why nothing new is heard of a service; empty: all is well."""
        return self._problems.get(service, "")

    def await_first(self, services: Collection[str], limit_s: float) -> None:
        """Wait until Consul has said something about each service, for better or worse."""
        for service in services:
            self.know(service)
        with self._lock:
            self._lock.wait_for(
                lambda: all(one in self._heard or one in self._problems for one in services),
                limit_s,
            )
            for service in services:
                if service in self._heard:
                    self._shown.setdefault(service, self._heard[service])

    def keep(self, services: Collection[str]) -> None:
        """Follow no other services any more."""
        with self._lock:
            for service in self._watches.keys() - set(services):
                self._watches.pop(service).is_over = True
                for known in (self._heard, self._shown, self._problems):
                    known.pop(service, None)

    def close(self) -> None:
        """End everything, whatever it waits for."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
        self._client.close()

    def _begin(self, service: str) -> None:
        watch = self._watches[service] = _Watch(self._client)
        threading.Thread(
            target=self._follow, args=(service, watch), name=f"health-{service}", daemon=True
        ).start()

    def _follow(self, service: str, watch: _Watch) -> None:
        def ask(index: int, wait: float) -> Reply[tuple[Instance, ...]]:
            return self._ask(service, index, wait)

        for one in follow(watch, ask, wait=_WAIT_S):
            with self._lock:
                if watch.is_over:
                    return
                if isinstance(one, Heard):
                    self._take(service, one.reply)
                else:
                    self._problems[service] = one.error.message
                self._lock.notify_all()

    def _ask(self, service: str, index: int, wait: float) -> Reply[tuple[Instance, ...]]:
        try:
            reply = self._client.health_service(service, index=index, wait=wait)
        except SettingsError as error:  # no token is to be had
            raise ConsulDeniedError(error.message, hint=error.hint) from error
        if len(reply.value) > MOST_INSTANCES:
            raise ConsulReplyError(
                f'{self.where} has {len(reply.value):,} instances of "{service}"; more than '
                f"{MOST_INSTANCES:,} are not believed"
            )
        return reply.map(read_instances)

    def _ask_once(self, service: str) -> None:
        if self._problems and service not in self._problems:
            return  # one that does not answer is waited for once
        try:
            self._take(service, self._ask(service, 0, 0))
        except ConsulError as error:
            self._problems[service] = error.message
        self._shown.update(self._heard)

    def _take(self, service: str, reply: Reply[tuple[Instance, ...]]) -> None:
        """Take an answer in; called with the lock held, or by nobody else's thread."""
        problem = _why_not_believed(service, reply)
        if problem:
            self._problems[service] = problem
            return
        self._problems.pop(service, None)
        self._heard[service] = reply.value
        if self._notify is not None and self._heard[service] != self._shown.get(service):
            self._tell_soon()

    def _tell_soon(self) -> None:
        if self._timer is not None:
            return
        wait = self._told_at + LEAST_APART_S - time.monotonic()
        if wait <= 0:
            self._tell()
            return
        self._timer = threading.Timer(wait, self._tell_late)
        self._timer.daemon = True
        self._timer.start()

    def _tell_late(self) -> None:
        with self._lock:
            self._timer = None
            if self._shown != self._heard:  # it may be as it was before
                self._tell()

    def _tell(self) -> None:
        self._shown = dict(self._heard)
        self._told_at = time.monotonic()
        if self._notify is not None:
            self._notify(self._told_at)


class _Watch:
    """One service's share of the client, which can end before the others do."""

    def __init__(self, client: ConsulClient) -> None:
        self._client = client
        self.is_over = False

    def is_closed(self) -> bool:
        return self.is_over or self._client.is_closed()

    def rest(self, seconds: float) -> bool:
        return self._client.rest(seconds) or self.is_over

    def token_mark(self) -> object:
        return self._client.token_mark()


def _why_not_believed(service: str, reply: Reply[tuple[Instance, ...]]) -> str:
    if reply.is_filtered:
        return f'the token may not see all instances of "{service}"'
    if not reply.value:
        return f'Consul knows no instance of "{service}"'
    return ""
