"""What the agent is told: from a file, the environment and flags, each above the one before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshc.delivery.agent.admin import AdminAddress
from meshc.delivery.agent.settings import (
    AgentSettings,
    admin_address,
    load_settings,
    metrics_address,
    places,
)
from meshc.diagnostics.errors import SettingsError

GIVEN = {"node": "n1", "source": "/srv/out", "target": "/var/lib/envoy"}


def load(
    file: Path | None = None, *, environment: dict[str, str] | None = None, **flags: Any
) -> AgentSettings:
    return load_settings(GIVEN | flags, file=file, environment=environment or {})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "agent.toml"


def test_each_place_wins_over_the_one_before(file: Path) -> None:
    file.write_text('poll = 1\nprobe = 1\nkeep = 1\nlog = "json"\n')
    environment = {"MESHC_AGENT_PROBE": "2", "MESHC_AGENT_KEEP": "2"}

    settings = load(file, environment=environment, keep=3, log=None)

    assert (settings.poll, settings.probe, settings.keep, settings.log) == (1.0, 2.0, 3, "json")


def test_the_table_may_stand_in_a_file_with_others(file: Path) -> None:
    file.write_text("[other]\nx = 1\n[agent]\nallow-shrink = true\nmax_growth = 20\n")

    settings = load(file)

    assert settings.allow_shrink is True
    assert settings.max_growth == 20.0


def test_the_state_lies_in_the_target_where_nothing_else_is_said() -> None:
    assert load().state == Path("/var/lib/envoy/.agent")
    assert load(state="/var/lib/meshc").state == Path("/var/lib/meshc")


def test_relative_paths_are_those_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    settings = load(target="target", state="state")

    assert (settings.target, settings.state) == (tmp_path / "target", tmp_path / "state")


@pytest.mark.parametrize("name", ["node", "source", "target"])
@pytest.mark.parametrize("value", [None, ""])
def test_what_has_to_be_said_is_asked_for_by_all_its_names(name: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=f"its {name}") as caught:
        load(**{name: value})

    assert f"--{name}" in str(caught.value.hint)
    assert f"MESHC_AGENT_{name.upper()}" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("key", "hint"), [("nod", '"node"'), ("max-shrunk", '"max_shrink"'), ("zzz", "known: node")]
)
def test_an_unknown_key_is_named_with_the_nearest_known_one(
    file: Path, key: str, hint: str
) -> None:
    file.write_text(f"{key} = 1\n")
    variable = f"MESHC_AGENT_{key.upper()}"

    with pytest.raises(SettingsError, match=f'unknown agent setting "{key}" in') as in_file:
        load(file)
    with pytest.raises(SettingsError, match="unknown agent setting") as in_environment:
        load(environment={variable: "1"})

    assert hint in str(in_file.value.hint)
    assert hint in str(in_environment.value.hint)


def test_other_variables_are_nobodys_business() -> None:
    settings = load(environment={"MESHC_OUT": "x", "AGENT_POLL": "7", "MESHC_AGENT_CONFIG": "/x"})

    assert settings.poll == 5.0


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("1", True), ("YES", True), ("on", True), ("false", False), ("0", False)],
)
def test_switches_in_the_environment(text: str, value: object) -> None:
    assert load(environment={"MESHC_AGENT_UNCONFIRMED": text}).unconfirmed is value


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("keep", '"many"', "a whole number"),
        ("keep", "1.5", "a whole number"),
        ("poll", '"soon"', "a number"),
        ("poll", "[1]", "a number"),
        ("unconfirmed", '"perhaps"', "true or false"),
        ("unconfirmed", "2", "true or false"),
        ("node", "5", "a text"),
        ("source", '["a"]', "a text"),
        ("target", "{}", "a text"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named_with_the_right_one(
    file: Path, key: str, value: str, wanted: str
) -> None:
    file.write_text(f"{key} = {value}\n")

    with pytest.raises(SettingsError, match=f'"{key}" must be {wanted}'):
        load(file)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("poll", (0.0, -1.0, float("nan"), float("inf"))),
        ("probe", (0.0, -1.0)),
        ("source_limit", (0.0, -1.0)),
        ("validation_limit", (0.0, float("inf"))),
        ("max_growth", (0.0, -1.0)),
        ("max_shrink", (-0.1, 1.1, float("nan"))),
        ("unconfirmed_wait", (-1.0, float("nan"), float("inf"))),
        ("quiet", (-1.0,)),
        ("longest_quiet", (-1.0,)),
        ("keep", (0, -1)),
        ("max_file", (0, -1)),
        ("max_manifest", (0, -1)),
        ("log", ("xml", "")),
        ("admin", ("nonsense", "http://", "http://x", "http://x:0", "http://x:99999", "unix:x")),
        ("admin", ("https://127.0.0.1:1", "http://127.0.0.1:1/path", "http://127.0.0.1:\u0661")),
        ("metrics", ("http://0.0.0.0:1", "http://192.0.2.1:1", "http://[::]:1", "127.0.0.1:1")),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(name: str, values: tuple[Any, ...]) -> None:
    for value in values:
        with pytest.raises(SettingsError):
            load(**{name: value})


def test_no_waiting_is_a_choice() -> None:
    assert load(quiet=0.0, longest_quiet=0.0, unconfirmed_wait=0.0).unconfirmed_wait == 0.0


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        (b"\xff\xfe", "not UTF-8"),
        (b"poll = ", "is not TOML"),
        (b"agent = 5", "is not a table"),
        (b"poll = 1\npoll = 2", "is not TOML"),
    ],
)
def test_a_file_that_is_none_is_named_with_the_reason(
    file: Path, content: bytes | None, reason: str
) -> None:
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(SettingsError, match=reason) as caught:
        load(file)

    assert str(file) in caught.value.message


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:/run/envoy.sock", AdminAddress("/run/envoy.sock")),
        ("http://127.0.0.1:9901", AdminAddress("127.0.0.1", 9901)),
        ("http://127.0.0.1:9901/", AdminAddress("127.0.0.1", 9901)),
        ("http://[::1]:9901", AdminAddress("::1", 9901)),
    ],
)
def test_an_address_is_read(text: str, address: AdminAddress) -> None:
    assert admin_address(text) == address
    assert metrics_address(text) == address


def test_commands_that_need_only_the_places_need_nothing_else(file: Path) -> None:
    file.write_text('target = "/var/lib/envoy"\nlog = "json"\n')

    assert places({"target": None, "state": None}, file=file, environment={}) == (
        Path("/var/lib/envoy"),
        Path("/var/lib/envoy/.agent"),
    )


def test_without_a_target_they_say_how_to_name_it() -> None:
    with pytest.raises(SettingsError, match="target is not named") as caught:
        places({}, file=None, environment={})

    assert "--target" in str(caught.value.hint)
