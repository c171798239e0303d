"""The program at a terminal and in a pipe: colours, quiet, progress, and how it is interrupted."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from meshc.cli import progress as progress_module
from meshc.cli.options import Terminal
from tests.cli.program import run

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_there_is_no_colour_unless_asked_for(mesh: Path) -> None:
    (mesh / "specs" / "bad.yaml").write_text("protocol: X\n")

    assert "\x1b" not in run("check", "--envoy", "none", cwd=mesh).stdout
    assert "\x1b[" in run("--color", "always", "check", "--envoy", "none", cwd=mesh).stdout
    assert "\x1b[" in run("check", "--color", "always", "--envoy", "none", cwd=mesh).stdout


def test_quiet_says_nothing_but_errors(mesh: Path) -> None:
    assert run("build", "-q", "--envoy", "none", cwd=mesh).stdout == ""
    (mesh / "specs" / "bad.yaml").write_text("protocol: X\n")
    assert "MC204" in run("check", "-q", "--envoy", "none", cwd=mesh).stdout


def test_a_reader_that_goes_away_is_no_error(mesh: Path) -> None:
    result = subprocess.run(
        f"{sys.executable} -m meshc schema | head -n 1; echo ${{PIPESTATUS[0]}}",
        cwd=mesh,
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert result.stdout == "{\n0\n"
    assert result.stderr == ""


def test_ctrl_c_ends_a_build_without_a_trace(mesh: Path) -> None:
    fifo_like = (
        # Whoever runs the tests in the background lets them ignore this signal.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import time, meshc.cli.report as r\n"
        "def slow(*_a, **_k):\n    print('ready', flush=True)\n    time.sleep(60)\n"
        "r.build = slow\n"
        "import sys; from meshc.cli import run; sys.exit(run(['build', '--envoy', 'none']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", fifo_like], cwd=mesh, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)

    assert process.returncode == 130
    assert said == b"\ninterrupted\n"
    assert not (mesh / "out").exists()


def test_a_progress_bar_shows_on_a_terminal_when_work_takes_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(progress_module, "_PATIENCE_S", 0.05)
    with progress_module.Progress(Terminal(), "compiling nodes") as progress:
        progress.update(1, 4)
        assert capsys.readouterr().err == ""
        time.sleep(0.06)
        progress.update(2, 4)
        progress.update(4, 4)
    assert "compiling nodes" in capsys.readouterr().err


def test_there_is_no_progress_bar_in_a_pipe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress_module, "_PATIENCE_S", 0.0)
    with progress_module.Progress(Terminal(), "compiling nodes") as progress:
        progress.update(1, 4)
        progress.update(4, 4)
    assert capsys.readouterr().err == ""
