"""A user at a command line, in a folder of their own."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from meshc.cli import run
from tests.case import CASES
from tests.cli.program import GOOD

if TYPE_CHECKING:
    from pathlib import Path

SPECS = {
    "app.yaml": """\
protocol: HTTP
hosts:
- name: app1
  ingressAddr: {host: 10.0.0.1, port: 80}
  substanceAddr: {host: 127.0.0.1, port: 9000}
dependentServices:
- {name: db, egressPort: 9001}
""",
    "db.yaml": """\
protocol: TCP
hosts:
- name: db1
  ingressAddr: {host: 10.0.0.2, port: 5432}
  substanceAddr: {host: 127.0.0.1, port: 5432}
""",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command answered."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class User:
    """Runs commands in a folder; the Envoy that judges is left out unless asked for."""

    folder: Path
    capture: pytest.CaptureFixture[str]

    def run(self, *arguments: str) -> Answer:
        self.capture.readouterr()
        code = run(arguments)
        out, err = self.capture.readouterr()
        return Answer(code, out, err)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def take_case(self, name: str) -> None:
        shutil.rmtree(self.folder / "specs", ignore_errors=True)
        shutil.copytree(CASES / name / "specs", self.folder / "specs")

    def tree(self, part: str = ".") -> dict[str, tuple[int, int]]:
        """Inode and time of change of everything in the folder, or in a part of it."""
        return {
            path.relative_to(self.folder).as_posix(): (status.st_ino, status.st_mtime_ns)
            for path in (self.folder / part).rglob("*")
            for status in [path.lstat()]
        }


@pytest.fixture
def user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> User:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MESHC_ENVOY", "none")
    someone = User(folder, capsys)
    for name, text in SPECS.items():
        someone.write(f"specs/{name}", text)
    return someone


@pytest.fixture
def mesh(tmp_path: Path) -> Path:
    """A folder with a mesh of one service."""
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "app.yaml").write_text(GOOD)
    return tmp_path


@pytest.fixture
def no_envoy(user: User, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001, comes after
    """A machine without any Envoy."""
    monkeypatch.delenv("MESHC_ENVOY", raising=False)
    monkeypatch.setattr("meshc.cli.report.find_envoy", lambda _setting: None)
