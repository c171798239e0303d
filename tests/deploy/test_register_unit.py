"""The units that register a host now and then."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

import click
import pytest

from meshc.cli.main import meshc
from tests.deploy.confined import read_unit
from tests.deploy.host import UNITS, analyze, exposure, need

if TYPE_CHECKING:
    from pathlib import Path

SERVICE, TIMER = "meshc-register.service", "meshc-register.timer"


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Both units, naming a program that is here; systemd looks whether it is."""
    need("systemd-analyze")
    for name in (SERVICE, TIMER):
        text = (UNITS / name).read_text()
        (tmp_path / name).write_text(text.replace("/opt/meshc/bin/meshc", sys.executable))
    return tmp_path


def test_systemd_finds_nothing_to_say_about_them(installed: Path) -> None:
    assert analyze(installed, "verify", "--man=no", f"./{SERVICE}", f"./{TIMER}") == "0"


def test_the_service_exposes_little(installed: Path) -> None:
    assert exposure(installed, f"./{SERVICE}") <= 1.2


def test_the_service_runs_a_command_that_there_is() -> None:
    [line] = read_unit(UNITS / SERVICE)["ExecStart"]
    program, *arguments = shlex.split(line)

    assert program == "/opt/meshc/bin/meshc"
    context = click.Context(meshc)
    command: click.Command = meshc
    while arguments and isinstance(command, click.Group):
        found = command.get_command(context, arguments.pop(0))
        assert found is not None
        command = found
    options = {name for one in command.params for name in one.opts}
    assert {one for one in arguments if one.startswith("--")} <= options


def test_the_token_is_where_the_service_says_it_is() -> None:
    unit = read_unit(UNITS / SERVICE)

    name = unit["LoadCredential"][0].partition(":")[0]
    assert f"CONSUL_HTTP_TOKEN_FILE=/run/credentials/{SERVICE}/{name}" in unit["Environment"]
