"""The borders of the code hold."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import meshc

ROOT = Path(__file__).parent.parent
PACKAGE = Path(meshc.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
ROOMS = [
    "artifact",
    "assemble",
    "cli",
    "compile",
    "consul",
    "delivery",
    "diagnostics",
    "model",
    "plan",
    "policies",
    "proto",
    "protocols",
    "spec",
    "store",
    "validate",
]
LONGEST_MODULE = 400
KEYWORDS = {"HTTP", "HTTP2", "GRPC", "TCP"}


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def test_imports_run_one_way() -> None:
    program = Path(sys.executable).parent / "lint-imports"
    result = subprocess.run(
        [program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_module_is_too_long_to_read(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST_MODULE


def test_no_module_of_tests_becomes_too_long_to_read() -> None:
    tests = ROOT / "tests"
    long = [
        path.relative_to(tests).as_posix()
        for path in tests.rglob("*.py")
        if len(path.read_text().splitlines()) > LONGEST_MODULE
    ]

    assert long == []


@pytest.mark.parametrize("room", ROOMS)
def test_each_room_says_what_goes_in_and_out_and_what_it_must_not_know(room: str) -> None:
    text = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text())) or ""
    starts = [line.split(":")[0] for line in text.splitlines() if ":" in line]
    for heading in ("In", "Out", "Owns", "Must not know"):
        assert heading in starts


def test_every_folder_with_a_border_is_listed_here() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders == {*ROOMS, "demo"}


def compared_keywords(path: Path) -> list[int]:
    """Lines on which something is compared with the keyword of a protocol."""
    lines = []
    for node in ast.walk(ast.parse(path.read_text())):
        values: list[ast.expr] = []
        if isinstance(node, ast.Compare):
            values = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            values = [node.value]
        constants = [part for value in values for part in ast.walk(value)]
        if any(isinstance(part, ast.Constant) and part.value in KEYWORDS for part in constants):
            lines.append(values[0].lineno)
    return lines


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_stage_asks_which_protocol_it_is(path: Path) -> None:
    if name_of(path).startswith("protocols/"):
        pytest.skip("a slice may know its own protocol")
    assert compared_keywords(path) == []


def test_a_comparison_with_a_protocol_would_be_found(tmp_path: Path) -> None:
    module = tmp_path / "stage.py"
    module.write_text('def stage(service):\n    return service.protocol == "TCP"\n')
    assert compared_keywords(module) == [2]


def ruff_order(name: str) -> tuple[bool, bool, str]:
    """Constants, classes, functions, each in alphabetical order, as the linter sorts them."""
    return (not name.isupper(), not name[0].isupper(), name)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_public_names_are_listed_in_order(path: Path) -> None:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names = ast.literal_eval(node.value)
            assert sorted(names, key=ruff_order) == names


def test_the_program_answers_its_version_without_loading_the_command_line() -> None:
    code = (
        "import sys; sys.argv = ['meshc', '--version']\n"
        "import meshc.__main__ as program\n"
        "program.main()\n"
        "print(sorted(name for name in sys.modules if name.startswith('meshc')))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout == "meshc 0.1.0\n['meshc', 'meshc.__main__']\n"
