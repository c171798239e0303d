"""A real Consul in development mode: one server, in memory, everything allowed."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from meshc.consul.client import ConsulClient
from meshc.consul.settings import ConsulSettings

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

START_LIMIT_S = 30.0
_STOP_LIMIT_S = 10.0


def own_host() -> str:
    """A loopback address that no other test process uses."""
    number = os.getpid()
    return f"127.46.{number // 250 % 250 + 1}.{number % 250 + 1}"


def free_ports(host: str, count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_server((host, 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in held]


@dataclass(slots=True)
class ConsulServer:
    """One process; started on entry, ended on exit, its output in ``log``."""

    program: Path
    log: Path
    host: str = field(default_factory=own_host)
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def address(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def settings(self) -> ConsulSettings:
        return ConsulSettings(address=self.address)

    def client(self) -> ConsulClient:
        return ConsulClient(self.settings)

    def start(self) -> None:
        http_port, serf, server = free_ports(self.host, 3)
        self.port = http_port
        command = [str(self.program), "agent", "-dev", "-bind", self.host, "-client", self.host]
        ports = {"http": http_port, "serf-lan": serf, "server": server}
        ports |= dict.fromkeys(("grpc", "grpc-tls", "dns", "serf-wan"), -1)
        command += [f"-{name}-port={number}" for name, number in ports.items()]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env={"PATH": os.environ["PATH"]}
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(_STOP_LIMIT_S)
            self.process = None

    def _wait(self) -> None:
        limit = time.monotonic() + START_LIMIT_S
        while not self._has_leader():
            assert self.process is not None
            if self.process.poll() is not None or time.monotonic() > limit:
                raise RuntimeError(f"Consul did not start:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.05)

    def _has_leader(self) -> bool:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=2)
        try:
            connection.request("GET", "/v1/catalog/service/consul")
            reply = connection.getresponse()
            # The server registers itself once it leads; then writes work as well.
            return reply.status == 200 and b'"Node"' in reply.read()
        except OSError:
            return False
        finally:
            connection.close()
