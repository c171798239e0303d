"""Texts that kill, hang or fool other readers are refused, quickly and without a signal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HOSTILE = Path(__file__).parent / "hostile"
ROOT = Path(__file__).parents[2]
MEBIBYTE = 1024 * 1024
# The slowest takes half a second on the machine where this was written.
SECONDS = 3.0

CODES = {
    "alias-bomb.yaml": ["MC104"],
    "bidi.yaml": ["MC106"],
    "complex-key.yaml": ["MC109"],
    "cve-2017-18342.yaml": ["MC105"],
    "cve-2019-20477.yaml": ["MC105"],
    "cve-2020-14343.yaml": ["MC105"],
    "cve-2020-1747.yaml": ["MC105"],
    "duplicate-keys.yaml": ["MC102"],
    "escape-sequence.yaml": ["MC106"],
    "exponent.yaml": ["MC108"],
    "hex-digits.yaml": ["MC108"],
    "int-digits.yaml": ["MC108"],
    "latin-1.yaml": ["MC106"],
    "line-separator.yaml": ["MC106"],
    "lone-surrogate.yaml": ["MC106"],
    "merge-bomb.yaml": ["MC104"],
    "next-line.yaml": ["MC106"],
    "nul.yaml": ["MC106"],
    "octal.yaml": ["MC108"],
    "overlong.yaml": ["MC106"],
    "python-module.yaml": ["MC105"],
    "python-object-state.yaml": ["MC105"],
    "self-alias.yaml": ["MC104"],
    "self-merge.yaml": ["MC104"],
    "surrogate-escape.yaml": ["MC101"],
    "tag-shorthand.yaml": ["MC101"],
    "template.yaml": ["MC109"],
    "timestamp-tag.yaml": ["MC105"],
    "two-documents.yaml": ["MC107"],
    "two-marks.yaml": ["MC106"],
    "undefined-alias.yaml": ["MC104"],
    "utf-16-no-mark.yaml": ["MC106"],
    "utf-16.yaml": ["MC106"],
    "utf-32.yaml": ["MC106"],
    "verbatim-tag.yaml": ["MC105"],
    "yaml-1.1-header.yaml": ["MC101"],
}


def fill(piece: str, start: str = "", end: str = "") -> str:
    """Return a text of one mebibyte that repeats a piece."""
    count = (MEBIBYTE - len((start + end).encode())) // len(piece.encode())
    return start + piece * count + end


# What is found first depends on the release of libyaml: newer ones look ahead for depth.
DEEP_OR_COMPLEX = ["MC103 or MC109"]

# Each is as large as a file may be, but for those that are larger.
GENERATED = {
    "brackets-100k.yaml": ("[" * 100_000, ["MC103"]),
    "brackets.yaml": (fill("["), ["MC103"]),
    "brackets-lines.yaml": (fill("[\n"), ["MC103"]),
    "braces.yaml": (fill("{"), DEEP_OR_COMPLEX),
    "brackets-braces.yaml": (fill("[{"), DEEP_OR_COMPLEX),
    "brace-questions.yaml": (fill("{? "), ["MC109"]),
    "flow-keys.yaml": (fill('{"a":'), ["MC103"]),
    "dashes.yaml": (fill("- "), ["MC103"]),
    "questions.yaml": (fill("? "), ["MC109"]),
    "stairs.yaml": ("".join(" " * n + "a:\n" for n in range(1400)), ["MC103"]),
    "stairs-of-dashes.yaml": ("".join(" " * n + "-\n" for n in range(1400)), ["MC103"]),
    "json-brackets.json": (fill("["), ["MC103"]),
    "json-braces.json": (fill('{"a":'), ["MC103"]),
    "wide-list.yaml": (fill("- a\n"), ["MC103"]),
    "wide-flow.yaml": (fill("a,", "[", "]"), ["MC103"]),
    "wide-nothing.yaml": (fill("-\n"), ["MC103"]),
    "wide-deep.yaml": (fill("a,", "[" * 60, "]" * 60), ["MC103"]),
    "wide-brackets.yaml": (fill("[" * 60 + "]" * 60 + ",", "[", "]"), ["MC103"]),
    "wide-flow-questions.yaml": (fill("? a,", "[", "]"), ["MC103"]),
    "wide-keys.yaml": ("".join(f"k{n}: 1\n" for n in range(80_000)), ["MC103"]),
    "repeated-key.yaml": (fill("a: 1\n"), ["MC102"]),
    "repeated-far-key.yaml": (
        "".join(f"k{n}: 1\n" for n in range(40_000)) + "k39999: 1\n" * 60,
        ["MC102"],
    ),
    "documents.yaml": (fill("---\n"), ["MC107"]),
    "ten-megabyte-line.yaml": ("a: " + "x" * 10 * MEBIBYTE, ["MC103"]),
    "long-plain.yaml": (fill("x", "a: "), ["MC103"]),
    "long-plain-lines.yaml": (fill("b\n ", "a: "), ["MC103"]),
    "long-quoted.yaml": (fill("\\n", 'a: "', '"'), ["MC103"]),
    "long-literal.yaml": (fill(" x\n", "a: |\n"), ["MC103"]),
    "long-key.yaml": (fill("k", "", ": v"), ["MC103"]),
    "long-json-key.json": (fill("k", '{"', '": 1}'), ["MC103"]),
    "long-number.yaml": (fill("1.", "a: "), ["MC103"]),
    "digits.yaml": ("a: " + "9" * 65_000, ["MC108"]),
    "digits-and-dots.yaml": ("a: " + "9" * 60_000 + "." + "9" * 5_000, ["MC108"]),
    "anchors.yaml": ("".join(f"- &a{n} x\n" for n in range(60_000)), ["MC104"]),
    "aliases.yaml": (fill("- *a\n", "- &a x\n"), ["MC104"]),
    "tags.yaml": (fill("- !a x\n"), ["MC105"]),
    "tag-directives.yaml": ("".join(f"%TAG !a{n}! x\n" for n in range(60_000)), ["MC101"]),
    "late-tag-directives.yaml": (
        "a: 1\n...\n" + "".join(f"%TAG !a{n}! x\n" for n in range(60_000)),
        ["MC101"],
    ),
    "open-quote.yaml": (fill("a ", '"'), ["MC101"]),
    "comments.yaml": (fill("#x\n"), ["MC107"]),
    "blank-lines.yaml": (fill("\n"), ["MC107"]),
    "spaces.yaml": (fill(" "), ["MC107"]),
    "nuls.yaml": ("\0" * MEBIBYTE, ["MC106"]),
    "colons.yaml": (fill(":"), ["MC103"]),
    "numbers.json": (fill("1,", "[", "1]"), ["MC103"]),
    "escapes.json": (fill("\\u0041", '["', '"]'), ["MC103"]),
}


def run(folder: Path) -> dict[str, Any]:
    finished = subprocess.run(
        [sys.executable, str(HOSTILE / "run.py"), str(folder)],
        capture_output=True,
        check=False,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        text=True,
        timeout=120,
    )
    results = [json.loads(line) for line in finished.stdout.splitlines()]
    last = results[-1]["name"] if results else "nothing"
    assert finished.returncode == 0, f"died after {last}: {finished.stderr}"
    assert finished.stderr == ""
    return {result["name"]: result for result in results}


@pytest.fixture(scope="module")
def stored() -> dict[str, Any]:
    return run(HOSTILE)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("hostile")
    for name, (text, _) in GENERATED.items():
        (folder / name).write_text(text)
    return run(folder)


@pytest.mark.parametrize("name", sorted(CODES))
def test_a_hostile_file_is_refused(stored: dict[str, Any], name: str) -> None:
    result = stored[name]

    assert result["codes"] == CODES[name]
    assert not result["read"]
    assert result["seconds"] < SECONDS


@pytest.mark.parametrize("name", sorted(GENERATED))
def test_a_huge_file_is_refused_in_bounded_time_and_memory(
    generated: dict[str, Any], name: str
) -> None:
    result = generated[name]

    expected = GENERATED[name][1]
    if expected is DEEP_OR_COMPLEX:
        assert result["codes"] in (["MC103"], ["MC109"])
    else:
        assert result["codes"] == expected
    assert not result["read"]
    assert result["seconds"] < SECONDS


def test_every_hostile_file_is_expected(stored: dict[str, Any]) -> None:
    assert sorted(stored) == sorted(CODES)


def test_no_gadget_was_executed(stored: dict[str, Any]) -> None:
    assert stored

    assert not (HOSTILE / "meshc-was-here").exists()
