"""The unit of the server, and the unit's command run as it is under its restrictions."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import click
import grpc
import pytest

from meshc.cli.serve import command
from meshc.delivery.errors import DeliveryError
from meshc.delivery.xds.process.asking import ask_status
from meshc.delivery.xds.protocol.types import CLUSTER
from meshc.delivery.xds.transport.addresses import address
from meshc.delivery.xds.transport.limits import Limits
from tests.consul.authority import Authority
from tests.delivery.live import until
from tests.delivery.xds.served import caller, free_port
from tests.deploy.confined import read_unit
from tests.deploy.host import UNITS, Host, analyze, exposure, installed, need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "meshc-serve"
SERVICE = f"{NAME}.service"
_NO_SETTINGS = {"config", "color", "quiet", "verbose"}


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, naming a program that is here; systemd looks whether it is."""
    need("systemd-analyze")
    text = (UNITS / SERVICE).read_text()
    (tmp_path / SERVICE).write_text(text.replace("/opt/meshc/bin/meshc", sys.executable))
    return tmp_path


def test_systemd_finds_nothing_to_say_about_it(unit: Path) -> None:
    assert analyze(unit, "verify", "--man=no", f"./{SERVICE}") == "0"


def test_it_exposes_little(unit: Path) -> None:
    assert exposure(unit, f"./{SERVICE}") <= 1.2


def test_each_process_may_have_as_many_files_as_it_accepts_connections() -> None:
    [most] = read_unit(UNITS / SERVICE)["LimitNOFILE"]

    assert int(most) > Limits().connections


def test_the_example_settings_are_options_with_their_defaults() -> None:
    text = (UNITS / "serve.toml").read_text()
    everything = tomllib.loads(re.sub(r"(?m)^# (\w+ = )", r"\1", text))
    context = click.Context(command)
    by_name = {str(one.name): one for one in command.params}
    assert everything.keys() <= by_name.keys()
    for name in ("workers", "poll", "log", "plaintext"):
        default = by_name[name].get_default(context)
        assert str(everything[name]).lower() == str(default).lower(), name
    missing = by_name.keys() - everything.keys() - _NO_SETTINGS
    assert {one for one in missing if not one.startswith("consul_")} == set()


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Host, int, Authority]]:
    """A host after the steps of the README, with the unit running, two workers strong."""
    with installed() as host:
        host.publish(("127.0.46.8", 9000))
        authority = Authority(host.root / "authority", "all")
        own = authority.issue("server", "IP:127.0.0.1")
        port = free_port()
        place = host.root / "etc/meshc/tls"
        place.mkdir(mode=0o750)
        files = {"server.pem": own.file, "server.key": own.key, "nodes-ca.pem": authority.file}
        for name, source in files.items():
            shutil.copy(source, place / name)
            (place / name).chmod(0o640)
        for path in (place, *place.iterdir()):
            os.chown(path, 0, host.user("meshc"))
        text = (UNITS / "serve.toml").read_text()
        text = text.replace("0.0.0.0:18000", f"127.0.0.1:{port}").replace(
            "# workers = 1", "workers = 2"
        )
        (host.root / "etc/meshc/serve.toml").write_text(text)
        runtime = host.root / "run/meshc"
        runtime.mkdir(parents=True)
        os.chown(runtime, host.user("meshc"), host.user("meshc"))
        host.start(NAME)
        until(lambda: host.has_said("READY=1"), "a server that is ready", 30)
        yield host, port, authority


def _status(host: Host) -> dict[str, Any]:
    with contextlib.suppress(DeliveryError):
        return ask_status(address(f"unix:{host.root}/run/meshc/serve.sock"))
    return {}


def test_it_serves_under_its_restrictions(served: tuple[Host, int, Authority]) -> None:
    host, port, authority = served
    own = authority.issue("web1", "DNS:web1")
    credentials = grpc.ssl_channel_credentials(
        authority.file.read_bytes(), own.key.read_bytes(), own.file.read_bytes()
    )

    async def names() -> int:
        async with caller(port, credentials) as client:
            call = client.stream("web1")
            await call.ask(CLUSTER)
            answer = await call.answer()
            call.cancel()
            return len(answer.resources)

    assert asyncio.run(names()) == 2
    status = _status(host)
    assert (status["mesh"], status["tls"], status["worker_problem"]) == ("deployed", True, "")
    assert [one["state"] for one in status["workers"]] == ["serving", "serving"]
    socket = host.root / "run/meshc/serve.sock"
    assert socket.stat().st_mode & 0o777 == 0o660
    until(lambda: host.has_said("WATCHDOG=1"), "WATCHDOG=1")


def test_it_takes_a_change_and_ends_well(served: tuple[Host, int, Authority]) -> None:
    host, _, _ = served
    before = _status(host)["generation"]

    host.publish(("127.0.46.8", 9000), timeout="4s")

    until(lambda: _status(host).get("generation") not in {before, None}, "the change")
    assert host.stop(NAME) == 0
    assert host.has_said("STOPPING=1")
