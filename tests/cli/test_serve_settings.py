"""Where `meshc serve` takes its settings from, and which of them is above which."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from meshc.cli import run, serve_options
from meshc.delivery.xds.process import main, workers
from meshc.delivery.xds.transport.limits import Limits

if TYPE_CHECKING:
    from meshc.delivery.xds.settings import ServeSettings


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[ServeSettings]:
    """What the server is told, instead of a server."""
    found: list[ServeSettings] = []

    def take(settings: ServeSettings) -> int:
        found.append(settings)
        return 0

    monkeypatch.setattr(main, "run", take)
    monkeypatch.setattr(workers, "serve_with_workers", take)
    monkeypatch.setattr(serve_options, "SYSTEM_FILE", tmp_path / "system.toml")
    monkeypatch.chdir(tmp_path)
    return found


_FILE = """
source = "/srv/mesh"
listen = "10.0.0.1:1"
cert = "server.pem"
key = "server.key"
client-ca = "ca.pem"
poll = 5
workers = 3
control = "unix:/c"
"""


def test_flags_are_above_the_environment_and_that_above_the_file(
    told: list[ServeSettings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "s.toml").write_text(_FILE)
    monkeypatch.setenv("MESHC_SERVE_LISTEN", "10.0.0.2:2")
    monkeypatch.setenv("MESHC_SERVE_POLL", "7")

    assert run(["serve", "--config", "s.toml", "--poll", "9"]) == 0

    [settings] = told
    assert (settings.source, str(settings.listen)) == ("/srv/mesh", "10.0.0.2:2")
    assert (settings.poll, settings.workers) == (9.0, 3)
    assert settings.tls is not None
    assert settings.tls.client_ca == Path("ca.pem")


@pytest.mark.parametrize("how", ["system", "environment", "table"])
def test_the_file_is_found(
    told: list[ServeSettings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    text = 'plaintext = true\nlisten = "127.0.0.1:5"\ncontrol = "none"\nlog = "json"\n'
    name = "system.toml" if how == "system" else "s.toml"
    (tmp_path / name).write_text(f"[serve]\n{text}" if how == "table" else text)
    if how != "system":
        monkeypatch.setenv("MESHC_SERVE_CONFIG", "s.toml")

    assert run(["serve"]) == 0

    [settings] = told
    assert (str(settings.listen), settings.tls, settings.log) == ("127.0.0.1:5", None, "json")


def test_limits_are_told_and_otherwise_stay(
    told: list[ServeSettings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "s.toml").write_text("max_connections = 7\nkeepalive = 9.5\n")
    monkeypatch.setenv("MESHC_SERVE_MAX_CONNECTION_AGE", "60")
    flags = ("--max-connections-per-address", "5")

    assert run(["serve", "--plaintext", "--control", "none", "--config", "s.toml", *flags]) == 0
    assert run(["serve", "--plaintext", "--control", "none", "--keepalive", "0"]) == 2

    [settings] = told
    assert settings.limits == Limits(connections=7, connections_of_one=5, age=60.0, ping_every=9.5)


@pytest.mark.parametrize("flag", ["--keepalive", "--max-connection-age", "--poll"])
@pytest.mark.parametrize("value", ["nan", "inf"])
def test_seconds_are_finite(
    told: list[ServeSettings], capsys: pytest.CaptureFixture[str], flag: str, value: str
) -> None:
    assert run(["serve", "--plaintext", "--control", "none", flag, value]) != 0

    assert flag in capsys.readouterr().err
    assert told == []


def test_without_any_of_them_there_are_defaults(told: list[ServeSettings]) -> None:
    assert run(["serve", "--plaintext", "--control", "none"]) == 0

    [settings] = told
    assert (settings.source, str(settings.listen)) == ("out", "127.0.0.1:18000")
    assert (settings.poll, settings.workers, settings.log) == (1.0, 1, "text")
    assert settings.limits == Limits()


@pytest.mark.parametrize("place", ["before", "after", "system"])
def test_the_status_is_asked_where_the_file_says(
    told: list[ServeSettings], tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    del told
    name = "system.toml" if place == "system" else "s.toml"
    (tmp_path / name).write_text(_FILE.replace("unix:/c", f"unix:{tmp_path}/nobody"))
    arguments = {
        "before": ["serve", "--config", "s.toml", "status"],
        "after": ["serve", "status", "--config", "s.toml"],
        "system": ["serve", "status"],
    }

    assert run(arguments[place]) == 3

    assert f"no server answers at unix:{tmp_path}/nobody" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("lisen = '1'", 'unknown setting "lisen" of meshc serve in "s.toml"'),
        ("plaintext = 'yes'", 'setting "plaintext" in "s.toml" must be true or false'),
        ("poll = true", 'setting "poll" in "s.toml" must be a text or a number'),
        ("listen = ['1']", 'setting "listen" in "s.toml" must be a text or a number'),
        ("poll = ", '"s.toml" is not TOML'),
        ("serve = 1", '[serve] in "s.toml" is not a table'),
    ],
)
def test_a_mistake_in_the_file_is_said(
    told: list[ServeSettings],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    line: str,
    said: str,
) -> None:
    (tmp_path / "s.toml").write_text(line)

    assert run(["serve", "--config", "s.toml"]) == 3

    assert said in capsys.readouterr().err
    assert told == []


def test_a_mistake_in_the_environment_is_said(
    told: list[ServeSettings], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MESHC_SERVE_WORKER", "2")

    assert run(["serve", "--plaintext"]) == 3

    error = capsys.readouterr().err
    assert 'unknown setting "worker" of meshc serve in the environment' in error
    assert 'did you mean "workers"?' in error
    assert told == []
