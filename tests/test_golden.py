"""The comparison with stored files: nothing slips through, nothing is rewritten by chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.golden import Goldens, read_tree

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = "pytest tests/test_cases.py --update-golden"


@pytest.fixture(autouse=True)
def _on_a_laptop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)


def folder(path: Path, **files: str) -> Path:
    path.mkdir()
    for name, text in files.items():
        (path / name).write_text(text)
    return path


def complaint(golden: Path, actual: Path) -> str:
    with pytest.raises(pytest.fail.Exception) as caught:
        Goldens(is_update=False, command=COMMAND).check_tree(golden, actual)
    return str(caught.value)


def test_equal_folders_pass(tmp_path: Path) -> None:
    golden, actual = folder(tmp_path / "golden", a="1\n"), folder(tmp_path / "actual", a="1\n")

    Goldens(is_update=False, command=COMMAND).check_tree(golden, actual)


def test_a_difference_fails_with_a_diff_and_the_command(tmp_path: Path) -> None:
    golden, actual = folder(tmp_path / "golden", a="1\n"), folder(tmp_path / "actual", a="2\n")

    text = complaint(golden, actual)

    assert "\n-1\n+2\n" in text
    assert text.endswith(f"if the change is meant, run: {COMMAND}")


def test_a_missing_golden_fails(tmp_path: Path) -> None:
    golden, actual = folder(tmp_path / "golden"), folder(tmp_path / "actual", a="")

    assert f"{golden}/a: missing" in complaint(golden, actual)


def test_an_orphan_golden_fails(tmp_path: Path) -> None:
    golden, actual = folder(tmp_path / "golden", a="", b=""), folder(tmp_path / "actual", a="")

    assert f"{golden}/b: orphan" in complaint(golden, actual)


def test_an_update_adds_changes_and_removes(tmp_path: Path) -> None:
    golden = folder(tmp_path / "golden", a="1", gone="1")
    actual = folder(tmp_path / "actual", a="2", new="1")

    Goldens(is_update=True, command=COMMAND).check_tree(golden, actual)

    assert read_tree(golden) == {"a": b"2", "new": b"1"}


def test_an_update_of_one_file_leaves_its_neighbours_alone(tmp_path: Path) -> None:
    golden = folder(tmp_path / "golden", a="1", b="1")

    Goldens(is_update=True, command=COMMAND).check_text(golden / "a", "2")

    assert read_tree(golden) == {"a": b"2", "b": b"1"}


def test_an_update_is_refused_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")

    with pytest.raises(pytest.UsageError, match="refused in CI"):
        Goldens(is_update=True, command=COMMAND)
