"""Look, every few seconds: is Envoy there, the same one, and does it run what lies on disk?"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from meshc.artifact.layout import CDS, LDS
from meshc.delivery.agent import events as ev
from meshc.delivery.agent.admin import AdminAddress, EnvoyAdmin
from meshc.delivery.agent.configuration import read_configuration
from meshc.delivery.agent.generations import digests_of, generation_of
from meshc.delivery.agent.host_files import (
    Expected,
    Traces,
    expected_of,
    stale_among,
    traces_of,
    why_not_startable,
)
from meshc.delivery.agent.settings import admin_address
from meshc.delivery.agent.swap import read_files
from meshc.delivery.errors import AdminError, DeliveryError, EnvoyGoneError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from meshc.delivery.agent.admin import ServerInfo
    from meshc.delivery.agent.configuration import Configuration
    from meshc.delivery.agent.settings import AgentSettings

_ROUTES = "/rds-"
_FRESH_S = 10.0
"""For so long an Envoy is taken for the one that it was; another would notice none of our files."""


class EnvoyProbe:
    """Remembers what it saw, so that a look costs two small requests and some calls to stat.

    ``as_built`` gives a build's files for those that lie in the target, where they differ because
    endpoints follow health.
    """

    def __init__(
        self,
        settings: AgentSettings,
        as_built: Callable[[Mapping[str, bytes]], Mapping[str, bytes]] = dict,
    ) -> None:
        self._settings = settings
        self._target = settings.target
        self._as_built = as_built
        self._last_address = ""
        self._traces: Traces | None = None
        self._generation: str | None = None
        self._is_expected = False
        self._expected: Expected = {}
        self._problem = ""
        self._seen: ServerInfo | None = None
        self._was_gone = False
        self._seen_at = 0.0
        self.good: str | None = None
        self.info: ServerInfo | None = None
        self.accepted: dict[str, str] = {}
        self.address = ""
        self.subscriptions = 0

    def remember_address(self, address: str) -> None:
        """Take over where Envoy answered in an earlier life."""
        self._last_address = address

    def expect(
        self, generation: str | None, traces: Traces, there: Configuration | None = None
    ) -> None:
        """Take what lies in the target now for right; None: a generation and leftovers of one.

        ``there`` is what lies there, where that has been read; an Envoy can start with it.
        """
        try:
            if there is None:
                self._read(traces)
            else:
                self._take(there)
                self._problem, self._traces = "", traces
        except DeliveryError:
            self._is_expected = False
            return  # the next look reads it again; what was delivered is delivered
        self._generation = generation
        self._is_expected = True

    def admin(self, bootstrap: Mapping[str, Any]) -> EnvoyAdmin:
        """Return the admin interface that answers: as set, as in the bootstrap, or as before.

        A bootstrap that was delivered is read at Envoy's next start only, so its address may
        not be that of the Envoy that runs.
        """
        if self._settings.admin:
            return EnvoyAdmin(admin_address(self._settings.admin))
        asked = EnvoyAdmin(AdminAddress.from_bootstrap(bootstrap))
        if self._last_address in {"", str(asked.address)}:
            return asked
        try:
            asked.server_info()
        except AdminError:
            before = _address(self._last_address)
            return asked if before is None else EnvoyAdmin(before)
        return asked

    def info_of(self, admin: EnvoyAdmin) -> ServerInfo | None:
        """Return what this Envoy has said about itself in the last look, if that was just now."""
        is_fresh = time.monotonic() < self._seen_at + _FRESH_S
        return self.info if is_fresh and self.address == str(admin.address) else None

    def look(self) -> ev.Probed:
        """Look once."""
        traces = traces_of(self._target)
        if traces != self._traces:
            self._is_expected = False
            self._read(traces)
        is_whole = not self._problem
        is_changed = not self._is_expected and self.good not in {None, self._generation}
        if self._settings.unconfirmed or not is_whole:
            is_up = self._settings.unconfirmed
            return self._probed(
                is_up=is_up, is_disk_changed=is_changed, is_whole=is_whole, reason=self._problem
            )
        try:
            return self._ask(is_changed=is_changed)
        except DeliveryError as error:
            self._was_gone = self._was_gone or isinstance(error, EnvoyGoneError)
            self.info = None
            self.accepted = {}
            return self._probed(is_up=False, is_disk_changed=is_changed, reason=error.message)

    def _ask(self, *, is_changed: bool) -> ev.Probed:
        admin = self.admin(self._bootstrap)
        self.address = str(admin.address)
        info = admin.server_info()
        if info.node != self._settings.node:
            raise DeliveryError(
                f'the Envoy at {admin.address} is node "{info.node}", not "{self._settings.node}"'
            )
        versions = admin.versions()
        before, self._seen = self._seen, info
        self.info, self._seen_at = info, time.monotonic()
        self._last_address = self.address
        self.accepted = _accepted(self._expected, versions)
        self.subscriptions = sum(len(names) for names, _ in self._expected.values())
        is_restarted = before is not None and (
            self._was_gone or info.epoch != before.epoch or info.started[0] > before.started[1]
        )
        self._was_gone = False
        return self._probed(
            is_up=True,
            is_current=not stale_among(self._expected, versions),
            is_restarted=is_restarted,
            is_disk_changed=is_changed,
        )

    def _read(self, traces: Traces) -> None:
        """Read the target once more, because it is not what it was."""
        self._traces = None  # until all of it has been read
        files = read_files(self._target)
        self._problem = why_not_startable(files, self._settings.node)
        self._generation = generation_of(digests_of(self._as_built(files)))
        self._expected = {}
        self._bootstrap: Mapping[str, Any] = {}
        if not self._problem:
            self._take(read_configuration(files, origin=f'"{self._target}"'))
        self._traces = traces

    def _take(self, there: Configuration) -> None:
        self._expected = expected_of(there)
        self._bootstrap = {"admin": there.bootstrap.get("admin")}

    def _probed(
        self,
        *,
        is_up: bool,
        is_current: bool | None = None,
        is_restarted: bool = False,
        is_disk_changed: bool = False,
        is_whole: bool = True,
        reason: str = "",
    ) -> ev.Probed:
        return ev.Probed(
            at=time.monotonic(),
            is_up=is_up,
            is_current=is_current,
            is_restarted=is_restarted,
            is_disk_changed=is_disk_changed,
            is_whole=is_whole,
            reason=reason,
        )


def _address(text: str) -> AdminAddress | None:
    host, _, port = text.rpartition(":")
    if text.startswith("/"):
        return AdminAddress(text)
    return AdminAddress(host.strip("[]"), int(port)) if host and port.isdecimal() else None


def _accepted(expected: Expected, versions: Mapping[str, str]) -> dict[str, str]:
    """Return what Envoy says about each type: a version, or how many of its files are right."""
    found: dict[str, str] = {}
    counts: dict[str, list[int]] = {"EDS": [0, 0], "RDS": [0, 0]}
    for path, (subscriptions, version) in expected.items():
        said = {versions.get(f"{name}version_text") for name in subscriptions} - {None}
        if path in {CDS, LDS}:
            found[path.removesuffix(".json").upper()] = next(iter(sorted(filter(None, said))), "")
        elif said:
            count = counts["RDS" if _ROUTES in path else "EDS"]
            count[0] += said == {version}
            count[1] += 1
    for kind, (right, total) in counts.items():
        if total:
            found[kind] = f"{right} of {total} files"
    return found
