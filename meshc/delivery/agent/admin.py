"""Envoy's admin interface, read under a deadline and a limit on what it may answer.

What it says is advice about what Envoy has done, never a source of configuration.
"""

from __future__ import annotations

import ipaddress
import json
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from meshc.delivery.agent.configuration import address_of
from meshc.delivery.agent.exchange import BadReplyError, Limits, ask, connect
from meshc.delivery.errors import AdminError, DeliveryError, EnvoyGoneError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshc.delivery.agent.configuration import Subscription

_DEADLINE_S = 1.0
_MAX_BODY = 8 * 1024 * 1024
_MAX_REASON = 1024
_OK = 200
_COUNTERS = ("attempt", "success", "rejected", "failure")
_WARMING = ("cluster_manager.warming_clusters", "listener_manager.total_listeners_warming")
_DRAINING = (
    "listener_manager.total_listeners_draining",
    "listener_manager.total_filter_chains_draining",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionState:
    """What Envoy counts about one subscription.

    ``version`` is the last one that was accepted whole: a file that was refused in part leaves
    it as it was, unlike the version in Envoy's configuration dump.
    """

    version: str = ""
    attempt: int = 0
    success: int = 0
    rejected: int = 0
    failure: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """Which node an Envoy is, and for how long its replaced listeners may live.

    ``started`` and ``epoch`` tell whether it is the same process as before: the first and the
    last second, of the clock that Envoy counts by, in which it can have started.
    """

    node: str
    drain_time_s: float
    version: str = ""
    started: tuple[int, int] = (0, 0)
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class AdminAddress:
    """Where an admin interface listens: an IP address with its port, or a Unix socket."""

    host: str
    port: int = 0

    @classmethod
    def from_bootstrap(cls, bootstrap: Mapping[str, Any]) -> AdminAddress:
        """Read the address that an Envoy was started with.

        Raises:
            DeliveryError: it has no admin interface, so nothing could ever be confirmed.
        """
        try:
            address = bootstrap["admin"]["address"]
            if "pipe" in address:
                return cls(str(address["pipe"]["path"]))
            place = address["socket_address"]
            bound = ipaddress.ip_address(place["address"])
            if bound.is_unspecified:
                bound = ipaddress.ip_address("::1" if bound.version == 6 else "127.0.0.1")  # noqa: PLR2004, IP version
            return cls(str(bound), int(place["port_value"]))
        except (KeyError, TypeError, ValueError) as error:
            raise DeliveryError(
                "the bootstrap has no admin address, so no delivery could be confirmed",
                hint="give the mesh an admin address: admin in mesh.yaml",
            ) from error

    @property
    def is_pipe(self) -> bool:
        """Whether it is a Unix socket."""
        return not self.port

    def __str__(self) -> str:
        if self.is_pipe:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class EnvoyAdmin:
    """The questions that a delivery asks an Envoy."""

    def __init__(self, address: AdminAddress, *, deadline_s: float = _DEADLINE_S) -> None:
        self.address = address
        self._deadline_s = deadline_s

    def server_info(self) -> ServerInfo:
        """Ask who this is."""
        asked = int(time.time())
        data = self._json("/server_info")
        answered = int(time.time())
        try:
            options = data["command_line_options"]
            uptime = int(str(data.get("uptime_current_epoch", "0")).removesuffix("s"))
            return ServerInfo(
                node=str(data["node"]["id"]),
                drain_time_s=float(str(options["drain_time"]).removesuffix("s")),
                version=_number_of(str(data.get("version", ""))),
                started=(asked - uptime, answered - uptime),
                epoch=int(options.get("restart_epoch", 0)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise self._nonsense(error) from error

    def versions(self) -> dict[str, str]:
        """Ask for every accepted version, by name of the statistic; cheap on any Envoy."""
        found = self._stats("type=TextReadouts")
        return {name: value for name, value in found.items() if isinstance(value, str)}

    def states(
        self, subscriptions: Iterable[Subscription]
    ) -> dict[Subscription, SubscriptionState]:
        """Ask for versions and counters of some subscriptions; missing are those never tried.

        One answer, because versions and counters of different moments contradict each other.
        Most of an Envoy's thousands of counters were never used, and leaving those out is what
        makes the answer quick; a counter that is not told is zero.
        """
        wanted = tuple(subscriptions)
        names = "|".join(re.escape(name) for name in wanted)
        found = self._stats(
            "usedonly&filter=" + quote(f"^({names})(version_text|update_({'|'.join(_COUNTERS)}))$")
        )
        return {name: _state(found, name) for name in wanted if f"{name}update_attempt" in found}

    def update_attempts(self) -> dict[str, int]:
        """Ask how often each subscription has read its file, or asked its server."""
        return self._counters(r"\.update_attempt$")

    def update_successes(self) -> dict[str, int]:
        """Ask how often each subscription has taken something over."""
        return self._counters(r"\.update_success$")

    def _counters(self, pattern: str) -> dict[str, int]:
        found = self._stats("filter=" + quote(pattern))
        return {name: value for name, value in found.items() if isinstance(value, int)}

    def warming(self) -> int:
        """Ask how many clusters and listeners are accepted but not in use yet."""
        return self._total(_WARMING)

    def draining(self) -> int:
        """Ask how many replaced listeners and filter chains still live."""
        return self._total(_DRAINING)

    def listener_errors(self) -> dict[str, str]:
        """Ask which listeners were refused, and why; Envoy keeps such reasons for nothing else."""
        data = self._json("/config_dump?resource=dynamic_listeners")
        found: dict[str, str] = {}
        try:
            for entry in data.get("configs", ()):
                if state := entry.get("error_state"):
                    # A refused listener is told twice, once without its name.
                    reason = _reason(str(state["details"]))
                    named = str(entry.get("name") or _name_in(state) or "")
                    if named or reason not in found.values():
                        found = {name: why for name, why in found.items() if name or why != reason}
                        found[named] = reason
        except (AttributeError, KeyError, TypeError) as error:
            raise self._nonsense(error) from error
        return found

    def listeners(self) -> dict[str, frozenset[str]]:
        """Ask which listeners are in use, each with the names of its addresses."""
        found: dict[str, frozenset[str]] = {}
        try:
            for one in self._json("/listeners?format=json").get("listener_statuses", ()):
                places = [one["local_address"], *one.get("additional_local_addresses", ())]
                found[str(one["name"])] = frozenset(map(address_of, places))
        except (AttributeError, KeyError, TypeError) as error:
            raise self._nonsense(error) from error
        return found

    def cluster_versions(self) -> dict[str, str]:
        """Ask of which version each cluster is: of the update that changed it last."""
        found: dict[str, str] = {}
        for kind in ("dynamic_active_clusters", "dynamic_warming_clusters"):
            try:
                for entry in self._json(f"/config_dump?resource={kind}").get("configs", ()):
                    found[str(entry["cluster"]["name"])] = str(entry.get("version_info", ""))
            except (AttributeError, KeyError, TypeError) as error:
                raise self._nonsense(error) from error
        return found

    def gauges(self, pattern: str) -> dict[str, int]:
        """Ask for the gauges whose names match."""
        found = self._stats("type=Gauges&filter=" + quote(pattern))
        return {name: value for name, value in found.items() if isinstance(value, int)}

    def fail_health(self) -> None:
        """Let Envoy tell every peer that its connection ends with the next answer."""
        self._ask("/healthcheck/fail", "POST")

    def stop_listening(self, *, is_inbound_only: bool) -> None:
        """Let Envoy accept no new connections; those that are open go on."""
        self._ask("/drain_listeners" + ("?inboundonly" if is_inbound_only else ""), "POST")

    def _total(self, names: tuple[str, ...]) -> int:
        """Add up some gauges; Envoy need not look through its counters for them."""
        pattern = "|".join(re.escape(name) for name in names)
        found = self.gauges(f"^({pattern})$")
        if found.keys() != set(names):
            raise self._nonsense("counters are missing")
        return sum(found.values())

    def _stats(self, query: str) -> dict[str, int | str]:
        data = self._json(f"/stats?format=json&{query}")
        entries = data.get("stats")
        if not isinstance(entries, list):
            raise self._nonsense("no list of statistics")
        return {
            entry["name"]: entry["value"]
            for entry in entries
            if isinstance(entry, dict)
            and isinstance(entry.get("name"), str)
            and isinstance(entry.get("value"), int | str)
        }

    def _json(self, path: str) -> dict[str, Any]:
        try:
            data = json.loads(self._ask(path))
        except (ValueError, RecursionError) as error:
            raise self._nonsense(error) from error
        if not isinstance(data, dict):
            raise self._nonsense("no object")
        return data

    def _ask(self, path: str, method: str = "GET") -> bytes:
        limits = Limits(deadline=time.monotonic() + self._deadline_s, max_body=_MAX_BODY)
        try:
            stream = connect(self.address.host, self.address.port, limits)
        except (ConnectionRefusedError, FileNotFoundError) as error:
            raise EnvoyGoneError(
                f"nobody listens at Envoy's admin address {self.address}",
                hint="is this node's Envoy running?",
            ) from error
        except OSError as error:
            raise self._silent(error) from error
        try:
            reply = ask(stream, path, host="localhost", limits=limits, headers={}, method=method)
        except (OSError, BadReplyError) as error:
            raise self._silent(error) from error
        finally:
            stream.close()
        if reply.status != _OK:
            raise AdminError(f"Envoy's admin interface at {self.address} says {reply.status}")
        return reply.body

    def _silent(self, error: Exception) -> AdminError:
        reason = str(error) or type(error).__name__
        return AdminError(f"Envoy's admin interface at {self.address}: {reason}")

    def _nonsense(self, what: object) -> AdminError:
        return AdminError(
            f"what answers at {self.address} is not Envoy's admin interface: {what}",
            hint="is another program using the admin port?",
        )


def _state(found: Mapping[str, int | str], name: Subscription) -> SubscriptionState:
    def count(counter: str) -> int:
        value = found.get(f"{name}update_{counter}", 0)
        return value if isinstance(value, int) else 0

    return SubscriptionState(
        version=str(found.get(f"{name}version_text", "")),
        attempt=count("attempt"),
        success=count("success"),
        rejected=count("rejected"),
        failure=count("failure"),
    )


def _number_of(version: str) -> str:
    """Return the number in ``digest/1.40.0/Clean/RELEASE/BoringSSL``."""
    parts = version.split("/")
    return parts[1] if len(parts) > 1 else version


def _name_in(state: Mapping[str, Any]) -> str | None:
    failed = state.get("failed_configuration")
    name = failed.get("name") if isinstance(failed, dict) else None
    return name if isinstance(name, str) else None


def _reason(text: str) -> str:
    """Bring Envoy's words on one printable line of bearable length."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _MAX_REASON else line[:_MAX_REASON] + "…"
