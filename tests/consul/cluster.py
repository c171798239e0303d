"""Consuls as they run in earnest: data on disk, TLS, access rules, several servers, an agent."""

from __future__ import annotations

import contextlib
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.consul.authority import Authority
from tests.consul.server import ConsulServer, own_host

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FIRST_ADDRESS = 1
_AGENT_RULES = """
node_prefix "" { policy = "write" }
service_prefix "" { policy = "read" }
"""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Servers that know each other, and what new members need."""

    program: Path
    folder: Path
    authority: Authority
    servers: tuple[ConsulServer, ...]
    admin_token: str

    @property
    def first(self) -> ConsulServer:
        return self.servers[0]

    def leader(self) -> ConsulServer:
        """The server that leads at the moment, as those that answer say."""
        running = [one for one in self.servers if one.process is not None]
        for server in running:
            with contextlib.suppress(OSError):
                _, found = server.call("GET", "/v1/status/leader")
                for candidate in running:
                    if found == f"{candidate.host}:{candidate.ports['server']}":
                        return candidate
        raise RuntimeError("nobody leads")


@contextlib.contextmanager
def start_cluster(program: Path, folder: Path, count: int = 1) -> Iterator[Cluster]:
    """Start servers with data on disk, TLS, and access rules that deny by default."""
    authority = Authority(folder / "authority")
    admin_token = str(uuid.uuid4())
    hosts = [own_host(_FIRST_ADDRESS + number) for number in range(count)]
    servers: list[ConsulServer] = []
    with contextlib.ExitStack() as stack:
        for number, host in enumerate(hosts, start=1):
            name = f"server-{number}"
            server = ConsulServer(
                program=program,
                log=folder / f"{name}.log",
                folder=folder / name,
                host=host,
                name=name,
                ca_file=authority.file,
                certificate=authority.issue_server(name, host),
                admin_token=admin_token,
                settings_file=_settings(
                    admin_token, server=True, join=[one.serf for one in servers], servers=count
                ),
            )
            stack.callback(server.kill)
            server.launch()
            servers.append(server)
        for server in servers:
            server.wait_until_ready()
        yield Cluster(program, folder, authority, tuple(servers), admin_token)


@contextlib.contextmanager
def start_client_agent(cluster: Cluster, name: str = "host-1") -> Iterator[ConsulServer]:
    """Start the agent of a host, which knows nothing itself and asks the servers."""
    host = own_host(_FIRST_ADDRESS + len(cluster.servers))
    token = cluster.first.make_token(_AGENT_RULES, f"agent-of-{name}")
    agent = ConsulServer(
        program=cluster.program,
        log=cluster.folder / f"{name}.log",
        folder=cluster.folder / name,
        host=host,
        name=name,
        ca_file=cluster.authority.file,
        certificate=cluster.authority.issue(name, "DNS:localhost", f"IP:{host}"),
        admin_token=cluster.admin_token,
        settings_file=_settings(
            cluster.admin_token,
            server=False,
            join=[one.serf for one in cluster.servers],
            agent_token=token,
        ),
    )
    with agent:
        yield agent


def _settings(
    admin_token: str, *, server: bool, join: list[str], servers: int = 0, agent_token: str = ""
) -> dict[str, Any]:
    tokens = {"agent": agent_token or admin_token}
    if server:
        tokens["initial_management"] = admin_token
    found: dict[str, Any] = {
        "server": server,
        "acl": {"enabled": True, "default_policy": "deny", "tokens": tokens},
        "retry_join": join,
        "retry_interval": "1s",
        "performance": {"raft_multiplier": 1},  # elections within a second or two
        "connect": {"enabled": False},
        "leave_on_terminate": False,
    }
    if server:
        found["bootstrap_expect"] = servers
    return found
