"""Metrics in Prometheus' text format, on a Unix socket or a loopback address."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from meshc.delivery.errors import DeliveryError
from meshc.delivery.text import label_value, metric_head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from meshc.delivery.agent.admin import AdminAddress

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0, 600.0)
_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_REQUEST_LIMIT_S = 2.0
_MAX_REQUEST = 8 * 1024
_OK, _NOT_FOUND, _WRONG_METHOD = "200 OK", "404 Not Found", "405 Method Not Allowed"


@dataclass(slots=True)
class Metrics:
    """What is counted; written by the agent's loop, read by the server's thread."""

    node: str
    deliveries: dict[str, int] = field(
        default_factory=lambda: {"delivered": 0, "rejected": 0, "held": 0, "failed": 0}
    )
    source_errors: int = 0
    envoy_restarts: int = 0
    nudges: int = 0
    last_success: float = 0.0
    published: float = 0.0
    started: float = 0.0
    state: str = "starting"
    is_confirmed: bool = False
    desired: str = ""
    delivered: str = ""
    quarantined: int = 0
    subscriptions: int = 0
    inotify_limit: int = 0
    endpoint_changes: int = 0
    endpoints: Sequence[Mapping[str, Any]] = ()
    _counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    _sum: float = 0.0

    def observe(self, seconds: float) -> None:
        """Count a delivery that took so long from the change to Envoy's word."""
        place = next((i for i, edge in enumerate(BUCKETS) if seconds <= edge), len(BUCKETS))
        self._counts[place] += 1
        self._sum += seconds

    def render(self, states: tuple[str, ...]) -> str:
        """Write everything down."""
        return "\n".join([*self._lines(states), ""])

    def _lines(self, states: tuple[str, ...]) -> Iterator[str]:
        name = "meshc_agent_delivery_seconds"
        yield from metric_head(name, "histogram", "From a change at the source to Envoy's word.")
        total = 0
        for edge, count in zip((*BUCKETS, "+Inf"), self._counts, strict=True):
            total += count
            yield f'{name}_bucket{{le="{edge}"}} {total}'
        yield f"{name}_sum {self._sum:.6f}"
        yield f"{name}_count {total}"
        name = "meshc_agent_deliveries_total"
        yield from metric_head(name, "counter", "Generations, by what became of them.")
        for outcome, count in self.deliveries.items():
            yield f'{name}{{outcome="{outcome}"}} {count}'
        name = "meshc_agent_state"
        yield from metric_head(name, "gauge", "1 for the state that the agent is in.")
        for state in states:
            yield f'{name}{{state="{state}"}} {int(state == self.state)}'
        name = "meshc_agent_generation_info"
        yield from metric_head(
            name, "gauge", "Which generation the source has, and which Envoy runs."
        )
        node = label_value(self.node)
        yield (
            f'{name}{{node="{node}",desired="{label_value(self.desired)}",'
            f'delivered="{label_value(self.delivered)}"}} 1'
        )
        for name, kind, help_text, value in (
            ("source_errors_total", "counter", "Fetches that gave nothing.", self.source_errors),
            (
                "envoy_restarts_total",
                "counter",
                "Envoy processes that came anew.",
                self.envoy_restarts,
            ),
            (
                "nudges_total",
                "counter",
                "Deliveries repeated because Envoy or the disk had something else.",
                self.nudges,
            ),
            (
                "confirmed",
                "gauge",
                "1 while Envoy says that it runs what was delivered.",
                int(self.is_confirmed),
            ),
            (
                "quarantined_generations",
                "gauge",
                "Generations that Envoy refused.",
                self.quarantined,
            ),
            (
                "last_success_timestamp_seconds",
                "gauge",
                "When Envoy last accepted a generation.",
                self.last_success,
            ),
            (
                "published_timestamp_seconds",
                "gauge",
                "When the newest publication that was followed was made; 0: none was.",
                self.published,
            ),
            ("start_time_seconds", "gauge", "When the agent was started.", self.started),
            (
                "file_subscriptions",
                "gauge",
                "Files that Envoy watches, an inotify instance each.",
                self.subscriptions,
            ),
            ("inotify_instances_limit", "gauge", "The limit of this host.", self.inotify_limit),
            (
                "endpoint_changes_total",
                "counter",
                "Deliveries of other endpoints because their health had changed.",
                self.endpoint_changes,
            ),
        ):
            yield from metric_head(f"meshc_agent_{name}", kind, help_text)
            yield f"meshc_agent_{name} {value}"
        yield from self._endpoint_lines()

    def _endpoint_lines(self) -> Iterator[str]:
        shown = [(_labels(one), one) for one in self.endpoints]
        name = "meshc_agent_endpoints"
        yield from metric_head(name, "gauge", "Hosts of a dependency that follows health.")
        for labels, one in shown:
            for state in ("known", "passing", "used"):
                if one[state] is not None:
                    yield f'{name}{{{labels},state="{state}"}} {one[state]}'
        for name, help_text, key, value in (
            ("panic", "1 while all hosts are used because too few pass.", "panic", True),
            ("followed", "1 while Consul says how they are; 0: they stay.", "problem", ""),
        ):
            yield from metric_head(f"meshc_agent_endpoints_{name}", "gauge", help_text)
            for labels, one in shown:
                yield f"meshc_agent_endpoints_{name}{{{labels}}} {int(one[key] == value)}"


def _labels(one: Mapping[str, Any]) -> str:
    return f'service="{label_value(one["service"])}",consumer="{label_value(one["consumer"])}"'


class MetricsServer:
    """Answers one reader at a time, from a thread of its own that ends with the process."""

    def __init__(self, address: AdminAddress, render: Callable[[], str]) -> None:
        self._address = address
        self._render = render
        self._socket = self._listen()
        threading.Thread(target=self._serve, name="metrics", daemon=True).start()

    def _listen(self) -> socket.socket:
        host, port = self._address.host, self._address.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(socket.AF_UNIX if self._address.is_pipe else family)
        try:
            if self._address.is_pipe:
                with contextlib.suppress(FileNotFoundError):
                    if stat.S_ISSOCK(os.lstat(host).st_mode):
                        os.unlink(host)  # noqa: PTH108, of one that was killed; the lock says so
                listener.bind(host)
                os.chmod(host, 0o660)  # noqa: PTH101
            else:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((host, port))
            listener.listen(8)
        except OSError as error:
            listener.close()
            raise DeliveryError(
                f"cannot serve metrics at {self._address}: {error.strerror or error}",
                hint="choose another place with --metrics, or none",
            ) from error
        return listener

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return  # closed
            with contextlib.suppress(OSError), connection:
                answer = self._answer(connection)
                connection.settimeout(_REQUEST_LIMIT_S)
                connection.sendall(answer)

    def _answer(self, connection: socket.socket) -> bytes:
        request = b""
        end = time.monotonic() + _REQUEST_LIMIT_S
        while b"\r\n\r\n" not in request and len(request) < _MAX_REQUEST:
            connection.settimeout(max(end - time.monotonic(), 0.001))
            piece = connection.recv(_MAX_REQUEST)
            if not piece:
                break
            request += piece
        method, _, rest = request.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        status, body = _OK, b""
        if method != b"GET":
            status = _WRONG_METHOD
        elif path != b"/metrics":
            status = _NOT_FOUND
        else:
            body = self._render().encode(errors="replace")
        return (
            f"HTTP/1.1 {status}\r\nContent-Type: {_TYPE}\r\nContent-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n"
        ).encode() + body

    def close(self) -> None:
        """Stop answering."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # else the thread would hold it for ever
        self._socket.close()
        if self._address.is_pipe:
            with contextlib.suppress(OSError):
                os.unlink(self._address.host)  # noqa: PTH108
