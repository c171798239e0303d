"""The units in deploy/systemd say what systemd understands, and keep what they run in bounds."""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from meshc.artifact.layout import BOOTSTRAP
from meshc.delivery.agent.settings import PREFIX, AgentSettings, load_settings
from meshc.spec.schema import MeshSpec
from tests.deploy.confined import read_unit
from tests.deploy.host import UNITS, analyze, exposure, need

AGENT, ENVOY = "meshc-agent.service", "meshc-envoy.service"


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Both units, naming programs that are here; systemd looks whether they are."""
    need("systemd-analyze")
    for name in (AGENT, ENVOY):
        text = (UNITS / name).read_text()
        text = text.replace("/opt/meshc/bin/meshc", sys.executable)
        (tmp_path / name).write_text(text.replace("/opt/meshc/bin/envoy", sys.executable))
    return tmp_path


def drop_in(folder: Path, unit: str, name: str) -> None:
    (folder / f"{unit}.d").mkdir()
    shutil.copy(UNITS / name, folder / f"{unit}.d" / name)


def test_systemd_finds_nothing_to_say_about_the_units(installed: Path) -> None:
    said = analyze(installed, "verify", "--man=no", f"./{AGENT}", f"./{ENVOY}")

    assert said == "0"


def test_systemd_would_say_what_it_does_not_understand(installed: Path) -> None:
    unit = installed / AGENT
    unit.write_text(unit.read_text().replace("WatchdogSec=30", "WatchdogSecs=30"))

    said = analyze(installed, "verify", "--man=no", f"./{AGENT}")

    assert "WatchdogSecs" in said


def test_systemd_finds_nothing_to_say_about_the_drop_ins(installed: Path) -> None:
    drop_in(installed, AGENT, "web-source.conf")
    drop_in(installed, ENVOY, "low-ports.conf")

    said = analyze(installed, "verify", "--man=no", f"./{AGENT}", f"./{ENVOY}")

    assert said == "0"


def test_an_envoy_that_a_server_feeds_waits_for_no_agent(installed: Path) -> None:
    drop_in(installed, ENVOY, "dynamic-mode.conf")

    assert analyze(installed, "verify", "--man=no", f"./{ENVOY}") == "0"
    assert read_unit(UNITS / "dynamic-mode.conf") == {"ExecStartPre": [""]}


def test_systemd_finds_nothing_to_say_about_consul_as_the_source(installed: Path) -> None:
    drop_in(installed, AGENT, "consul-source.conf")

    said = analyze(installed, "verify", "--man=no", f"./{AGENT}")

    assert said == "0"
    assert exposure(installed, f"./{AGENT}") <= 1.1


def test_the_agent_looks_for_its_token_where_systemd_puts_it() -> None:
    found = read_unit(UNITS / "consul-source.conf")

    [credential] = found["LoadCredential"]
    [variable] = found["Environment"]
    name, _, file = variable.partition("=")
    assert name == f"{PREFIX}CONSUL_TOKEN_FILE"
    assert file == f"/run/credentials/{AGENT}/{credential.partition(':')[0]}"


@pytest.mark.parametrize(("unit", "most"), [(AGENT, 1.0), (ENVOY, 1.2)])
def test_a_unit_exposes_little(installed: Path, unit: str, most: float) -> None:
    assert exposure(installed, f"./{unit}") <= most


def test_low_ports_take_one_capability_and_no_more(installed: Path) -> None:
    found = read_unit(UNITS / "low-ports.conf")

    assert found["CapabilityBoundingSet"] == ["CAP_NET_BIND_SERVICE"]
    assert found["AmbientCapabilities"] == ["CAP_NET_BIND_SERVICE"]
    drop_in(installed, ENVOY, "low-ports.conf")
    assert exposure(installed, f"./{ENVOY}") <= 1.7


def test_envoy_drains_for_as_long_as_a_mesh_says_unless_it_says_otherwise() -> None:
    [command] = read_unit(UNITS / ENVOY)["ExecStart"]

    drains = re.search(r"--drain-time-s (\d+)", command)

    assert drains is not None
    assert f"{drains[1]}s" == str(MeshSpec(name="any").drain_time)


def test_systemd_waits_for_as_long_as_draining_may_take() -> None:
    unit = read_unit(UNITS / ENVOY)
    [command], [patience] = unit["ExecStop"], unit["TimeoutStopSec"]

    within = re.search(r"--within (\d+)", command)

    assert within is not None
    assert command.startswith("-"), "an Envoy that has ended by itself is no failure of the unit"
    assert int(patience) > int(within[1])


def test_envoy_starts_from_where_the_agent_and_a_mesh_put_its_files() -> None:
    [command] = read_unit(UNITS / ENVOY)["ExecStart"]
    target = tomllib.loads((UNITS / "agent.toml").read_text())["target"]

    assert f"-c {target}/{BOOTSTRAP} " in command
    assert target == MeshSpec(name="any").xds_directory


def test_the_example_settings_are_accepted_as_they_are() -> None:
    settings = load_settings({}, file=UNITS / "agent.toml", environment={})

    assert settings.node == "web1"
    assert settings.target == Path("/var/lib/meshc/envoy")


def test_the_example_settings_name_every_setting_with_its_default(tmp_path: Path) -> None:
    text = (UNITS / "agent.toml").read_text()
    everything = tmp_path / "agent.toml"
    everything.write_text(re.sub(r"(?m)^# (\w+ = )", r"\1", text))

    assert set(tomllib.loads(everything.read_text())) == {one.name for one in fields(AgentSettings)}
    assert load_settings({}, file=everything, environment={}) == load_settings(
        {}, file=UNITS / "agent.toml", environment={}
    )


def test_the_example_settings_explain_every_setting() -> None:
    lines = (UNITS / "agent.toml").read_text().splitlines()

    for number, line in enumerate(lines):
        if re.match(r"(# )?\w+ = ", line):
            assert re.match(r"# [A-Z.]", lines[number - 1]) or lines[number - 2].startswith("# "), (
                line
            )
