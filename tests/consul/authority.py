"""A certificate authority of one's own, for Consul's servers and their clients."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate with its key, in files."""

    file: Path
    key: Path

    def serial(self) -> str:
        """Its number, in hex."""
        command = ["openssl", "x509", "-in", str(self.file), "-noout", "-serial"]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return said.strip().partition("=")[2]


class Authority:
    """Issues certificates that last two days."""

    def __init__(self, folder: Path, name: str = "Consul's own") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.file = folder / "ca.pem"
        self._key = folder / "ca.key"
        _openssl(
            *("req", "-x509", *_KEY, "-days", "2", "-subj", f"/CN={name}"),
            *("-keyout", str(self._key), "-out", str(self.file)),
        )

    def issue(self, name: str, *alternatives: str) -> Certificate:
        """Issue a certificate; alternatives are `DNS:…` and `IP:…`."""
        made = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        _openssl(
            *("req", "-x509", *_KEY, "-days", "2", "-subj", f"/CN={name}"),
            *("-CA", str(self.file), "-CAkey", str(self._key)),
            *("-keyout", str(made.key), "-out", str(made.file)),
            *("-addext", "basicConstraints=critical,CA:FALSE"),
            *("-addext", "extendedKeyUsage=serverAuth,clientAuth"),
            *("-addext", f"subjectAltName={','.join(alternatives) or 'DNS:nobody.invalid'}"),
        )
        return made

    def issue_until(self, ends: float, name: str, *alternatives: str) -> Certificate:
        """Issue what ends at a time, in seconds of the clock, to which a second is all."""
        made = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        request, settings = self._folder / f"{name}.csr", self._folder / f"{name}.conf"
        settings.write_text(
            f"[ca]\ndefault_ca=own\n[own]\nnew_certs_dir={self._folder}\n"
            f"database={self._folder}/{name}.db\nrand_serial=yes\ndefault_md=sha256\n"
            "policy=any\nx509_extensions=extensions\n[any]\ncommonName=supplied\n"
            "[extensions]\nextendedKeyUsage=clientAuth\n"
            f"subjectAltName={','.join(alternatives)}\n"
        )
        (self._folder / f"{name}.db").touch()
        _openssl(
            *("req", *_KEY, "-subj", f"/CN={name}"),
            *("-keyout", str(made.key), "-out", str(request)),
        )
        _openssl(
            *("ca", "-batch", "-notext", "-config", str(settings), "-in", str(request)),
            *("-out", str(made.file), "-cert", str(self.file), "-keyfile", str(self._key)),
            *("-enddate", time.strftime("%Y%m%d%H%M%SZ", time.gmtime(ends))),
        )
        return made

    def issue_server(self, name: str, host: str, datacenter: str = "dc1") -> Certificate:
        """Issue what a server of Consul shows, to clients and to other servers."""
        return self.issue(name, f"DNS:server.{datacenter}.consul", "DNS:localhost", f"IP:{host}")


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)
