"""A real Consul, one process: in memory for quick tests, or with a disk, TLS and access rules."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from meshc.consul.client import ConsulClient
from meshc.consul.secret import Secret
from meshc.consul.settings import ConsulSettings

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from tests.consul.authority import Certificate

START_LIMIT_S = 60.0
_STOP_LIMIT_S = 20.0
_PORTS = ("http", "serf_lan", "server")


def own_host(number: int = 0) -> str:
    """A loopback address that no other test process uses; a process has twenty."""
    process = os.getpid()
    return f"127.{46 + number}.{process // 250 % 250 + 1}.{process % 250 + 1}"


def free_ports(host: str, count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_server((host, 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in held]


@dataclass(slots=True, kw_only=True)
class ConsulServer:
    """One process; started on entry, ended on exit, its output in ``log``.

    Without ``folder`` it runs in development mode.  Ports are chosen once and kept, so that it
    can be started again in its place.
    """

    program: Path
    log: Path
    folder: Path | None = None
    host: str = field(default_factory=own_host)
    name: str = "consul-1"
    settings_file: dict[str, Any] = field(default_factory=dict)
    """What the settings file says beside addresses, ports and certificates."""
    ca_file: Path | None = None
    certificate: Certificate | None = None
    admin_token: str = ""
    ports: dict[str, int] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.ports = dict(zip(_PORTS, free_ports(self.host, len(_PORTS)), strict=True))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def address(self) -> str:
        scheme = "http" if self.certificate is None else "https"
        return f"{scheme}://{self.host}:{self.ports['http']}"

    @property
    def serf(self) -> str:
        """Where other Consuls join it."""
        return f"{self.host}:{self.ports['serf_lan']}"

    @property
    def settings(self) -> ConsulSettings:
        """Settings that may do everything."""
        return self.settings_with(self.admin_token)

    def settings_with(self, token: str) -> ConsulSettings:
        return ConsulSettings(address=self.address, token=Secret(token), ca_file=self.ca_file)

    def environment(self, token: str | None = None) -> dict[str, str]:
        """What Consul's own tools and the commands of meshc read."""
        found = {"CONSUL_HTTP_ADDR": self.address}
        if self.ca_file is not None:
            found["CONSUL_CACERT"] = str(self.ca_file)
        given = self.admin_token if token is None else token
        if given:
            found["CONSUL_HTTP_TOKEN"] = given
        return found

    def client(self, token: str | None = None) -> ConsulClient:
        return ConsulClient(self.settings_with(self.admin_token if token is None else token))

    def start(self) -> None:
        self.launch()
        try:
            self.wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def launch(self) -> None:
        """Start the process and do not wait until it can do anything."""
        command = [str(self.program), "agent"]
        if self.folder is None:
            command.append("-dev")
            place = self.log.with_suffix(".json")
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
            place = self.folder / "settings.json"
        place.write_text(json.dumps(self._written()))
        command.append(f"-config-file={place}")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env={"PATH": os.environ["PATH"]}
            )

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(_STOP_LIMIT_S)
            self.process = None

    def freeze(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def wait_until_ready(self) -> None:
        """Wait until it knows a leader and itself; then writes work as well."""
        limit = time.monotonic() + START_LIMIT_S
        while not self._is_ready():
            assert self.process is not None
            if self.process.poll() is not None or time.monotonic() > limit:
                raise RuntimeError(f"Consul did not start:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.05)

    def call(
        self, method: str, path: str, body: Any = None, *, token: str | None = None
    ) -> tuple[int, Any]:
        """One call of Consul's API without meshc: status, and JSON or text."""
        headers = {"X-Consul-Token": self.admin_token if token is None else token}
        connection = self._connection()
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            reply = connection.getresponse()
            text = reply.read()
        finally:
            connection.close()
        try:
            return reply.status, json.loads(text)
        except ValueError:
            return reply.status, text.decode()

    def make_token(self, rules: str, name: str) -> str:
        """A token that may do what these rules say, in Consul's own language."""
        self._put("/v1/acl/policy", {"Name": name, "Rules": rules})
        made = self._put("/v1/acl/token", {"Policies": [{"Name": name}], "Description": name})
        return str(made["SecretID"])

    def end_token(self, token: str) -> None:
        status, found = self.call("GET", "/v1/acl/token/self", token=token)
        assert status == 200, found
        status, said = self.call("DELETE", f"/v1/acl/token/{found['AccessorID']}")
        assert status == 200, said

    def _put(self, path: str, body: Any) -> Any:
        status, said = self.call("PUT", path, body)
        assert status == 200, (path, status, said)
        return said

    def _connection(self) -> http.client.HTTPConnection:
        port = self.ports["http"]
        if self.certificate is None:
            return http.client.HTTPConnection(self.host, port, timeout=10)
        context = ssl.create_default_context(cafile=self.ca_file)
        return http.client.HTTPSConnection(self.host, port, timeout=10, context=context)

    def _is_ready(self) -> bool:
        try:
            status, found = self.call("GET", "/v1/catalog/nodes")
        except (OSError, http.client.HTTPException):
            return False
        return status == 200 and self.name in {one["Node"] for one in found or []}

    def _written(self) -> dict[str, Any]:
        unused = dict.fromkeys(("grpc", "grpc_tls", "dns", "serf_wan", "http", "https"), -1)
        shown = "http" if self.certificate is None else "https"
        ports = {**unused, **self.ports, "http": -1, shown: self.ports["http"]}
        if self.settings_file.get("server") is False:
            del ports["server"]
        written: dict[str, Any] = {
            "node_name": self.name,
            "bind_addr": self.host,
            "client_addr": self.host,
            "ports": ports,
            "disable_update_check": True,
            **self.settings_file,
        }
        if self.folder is not None:
            written["data_dir"] = str(self.folder / "data")
        if self.certificate is not None:
            written["tls"] = {
                "defaults": {
                    "ca_file": str(self.ca_file),
                    "cert_file": str(self.certificate.file),
                    "key_file": str(self.certificate.key),
                    "verify_outgoing": True,
                },
                "internal_rpc": {"verify_incoming": True, "verify_server_hostname": True},
            }
        return written
