"""What somebody reads who typed, or set, something wrong; and what help and completion teach."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.delivery.hosts.mesh import meshc

if TYPE_CHECKING:
    from pathlib import Path

COMMANDS = ("run", "once", "prepare", "status", "history", "rollback", "pause", "resume", "allow")
TOLD = ("--node", "front1", "--source", "out", "--target")


@pytest.mark.parametrize("command", ["status", "history", "pause", "resume", "rollback"])
def test_an_agent_that_is_not_named_is_asked_for(command: str) -> None:
    said = meshc("agent", command)

    assert said.code == 3
    assert said.err == (
        "error: which agent? Its target is not named\n"
        "  hint: say --target DIR, set MESHC_AGENT_TARGET, or write it into the settings file\n"
    )


@pytest.mark.parametrize("command", ["run", "once", "prepare"])
def test_a_node_that_is_not_named_is_asked_for(command: str) -> None:
    said = meshc("agent", command)

    assert said.code == 3
    assert said.err.splitlines()[0] == "error: the agent is not told its node"
    assert "say --node, set MESHC_AGENT_NODE, or write it into the settings file" in said.err


@pytest.mark.parametrize("command", ["run", "status"])
def test_an_empty_target_is_no_target(command: str) -> None:
    said = meshc("agent", command, *(TOLD if command == "run" else ("--target",)), "")

    assert said.code == 3
    assert "target" in said.err.splitlines()[0]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--admin", "nonsense"), '"nonsense" is neither unix:/path nor http://ADDRESS:PORT'),
        (("--admin", "http://[::1]:99999"), '"http://[::1]:99999" is neither'),
        (("--admin", "https://127.0.0.1:1"), '"https://127.0.0.1:1" is neither'),
        (("--admin", "unix:relative"), '"unix:relative" is neither'),
        (("--metrics", "http://0.0.0.0:1"), "that is no loopback address"),
        (("--keep", "0"), "keep must be at least 1"),
        (("--max-shrink", "30"), "max-shrink is a share between 0 and 1"),
        (("--poll", "-1"), "poll must be more than 0"),
        (("--source", "ftp://host/out"), 'the source "ftp://host/out" is of no known kind'),
    ],
)
def test_a_value_that_cannot_be_is_named(
    tmp_path: Path, flags: tuple[str, str], message: str
) -> None:
    said = meshc("agent", "once", *TOLD, tmp_path, *flags)

    assert said.code == 3
    assert said.err.startswith("error: ")
    assert message in said.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[agent]\nnod = "x"\n', 'unknown agent setting "nod"'),
        ('poll = "fast"\n', 'setting "poll" must be a number, not "fast"'),
        ("allow-empty = 3\n", 'setting "allow-empty" must be true or false, not "3"'),
        ("node = \n", "is not TOML"),
    ],
)
def test_a_mistake_in_the_settings_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "agent.toml"
    file.write_text(text)

    said = meshc("agent", "run", "--config", file)

    assert said.code == 3
    assert message in said.err


def test_a_settings_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    said = meshc("agent", "status", "--config", tmp_path / "none.toml")

    assert said.code == 3
    assert f'cannot read settings "{tmp_path}/none.toml": No such file or directory' in said.err


def test_an_unknown_setting_in_the_environment_is_named_with_the_nearest() -> None:
    said = meshc("agent", "run", environment={"MESHC_AGENT_TARGTE": "/x"})

    assert said.code == 3
    assert 'unknown agent setting "targte" in the environment' in said.err
    assert 'hint: did you mean "target"?' in said.err


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("rn",), "Did you mean 'run'?"),
        (("run", "--tagret", "x"), "'--target'"),
        (("allow",), "Missing argument 'GENERATION'"),
        (("once", "--keep", "x"), "'x' is not a valid integer"),
    ],
)
def test_wrong_usage_ends_with_2_and_a_hint(arguments: tuple[str, ...], hint: str) -> None:
    said = meshc("agent", *arguments)

    assert said.code == 2
    assert hint in said.err


def test_a_target_that_nobody_has_delivered_to_is_told_apart(tmp_path: Path) -> None:
    status = meshc("agent", "status", "--target", tmp_path)
    history = meshc("agent", "history", "--target", tmp_path)
    paused = meshc("agent", "pause", "--target", tmp_path)

    assert status.code == 3
    assert status.err == (
        f"NO AGENT HAS RUN on {tmp_path}\n  do: meshc agent run --target {tmp_path} …\n"
    )
    assert (history.code, history.out) == (0, "nothing has happened here so far\n")
    assert paused.code == 3
    assert f'no agent has ever run on "{tmp_path}"' in paused.err


def test_a_target_that_is_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")

    said = meshc("agent", "once", *TOLD, file)

    assert said.code == 3
    assert f'"{file}": Not a directory' in said.err


def test_a_target_that_anybody_may_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)

    said = meshc("agent", "once", *TOLD, tmp_path)

    assert said.code == 3
    assert "anybody could swap Envoy's files" in said.err
    assert f"hint: chmod o-w {tmp_path}" in said.err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_by_example(command: str) -> None:
    said = meshc("agent", command, "--help")

    assert said.code == 0
    assert f"meshc agent {command}" in " ".join(said.out.partition("Example")[2].split())
    assert "--target" in said.out


def test_completion_knows_the_commands_and_the_options() -> None:
    def completed(*words: str) -> list[str]:
        said = meshc(
            environment={
                "_MESHC_COMPLETE": "bash_complete",
                "COMP_WORDS": " ".join(("meshc", *words)),
                "COMP_CWORD": str(len(words)),
            }
        )
        return [line.partition(",")[2] for line in said.out.splitlines()]

    assert set(completed("agent", "")) == set(COMMANDS)
    assert completed("agent", "run", "--so") == ["--source"]


def test_for_programs_the_absence_of_an_agent_is_json_too(tmp_path: Path) -> None:
    said = meshc("agent", "status", "--json", "--target", tmp_path)

    assert said.code == 3
    assert json.loads(said.out) == {
        "state": "none",
        "summary": f"NO AGENT HAS RUN on {tmp_path}",
        "todo": f"meshc agent run --target {tmp_path} …",
        "running": False,
    }
