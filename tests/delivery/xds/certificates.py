"""Certificates of a server and of one node, each from an authority of its own."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshc.delivery.xds.bootstrap import Credentials
from meshc.delivery.xds.transport.tls import TlsFiles
from tests.consul.authority import Authority

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Certificates:
    """What the server reads, the folder with what the node reads, and who has issued it."""

    tls: TlsFiles
    node_folder: Path
    nodes: Authority
    servers: Authority

    @property
    def node_files(self) -> tuple[Path, Path]:
        """The node's key and its certificate."""
        return self.node_folder / "node.key", self.node_folder / "node.pem"

    @property
    def credentials(self) -> Credentials:
        """What stands in the node's bootstrap."""
        return Credentials(
            certificate=str(self.node_folder / "node.pem"),
            key=str(self.node_folder / "node.key"),
            ca=str(self.node_folder / "server-ca.pem"),
        )


def certificates(folder: Path, *alternatives: str, node: str = "front1") -> Certificates:
    """Issue for a server with these alternative names, `IP:127.0.0.1` if none, and for a node."""
    nodes, servers = Authority(folder / "nodes", "nodes"), Authority(folder / "servers", "servers")
    server = servers.issue("server", *(alternatives or ("IP:127.0.0.1",)))
    client = nodes.issue(node, f"DNS:{node}")
    place = folder / "tls"
    place.mkdir()
    for source, name in (
        (client.file, "node.pem"),
        (client.key, "node.key"),
        (servers.file, "server-ca.pem"),
    ):
        shutil.copy(source, place / name)
    tls = TlsFiles(certificate=server.file, key=server.key, client_ca=nodes.file)
    return Certificates(tls, place, nodes, servers)
