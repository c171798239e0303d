"""What a terminal shows of other people's words is not obeyed by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshc.cli.safe import plain, safe

if TYPE_CHECKING:
    from tests.cli.conftest import User

_TITLE = "\x1b]0;owned\x07"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\tc ü\n", "a\nb\tc ü\n"),
        (_TITLE, r"\x1b]0;owned\x07"),
        ("\x1b[2J\r\x08", r"\x1b[2J\r\x08"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
    ],
)
def test_control_characters_are_spelled_out(text: str, shown: str) -> None:
    assert safe(text) == shown


def test_colours_stay_where_there_are_colours() -> None:
    text = f"\x1b[31merror\x1b[0m {_TITLE}\x1b[999999999m"

    assert safe(text, has_color=True) == ("\x1b[31merror\x1b[0m \\x1b]0;owned\\x07\\x1b[999999999m")


def test_words_within_a_line_stay_in_it() -> None:
    assert plain("a\nb\x1b[0m") == r"a\nb\x1b[0m"


def test_what_a_command_says_of_a_file_is_safe(user: User) -> None:
    user.write("specs/bad.yaml", "protocol: HTTP\nhosts: [{name: 'a" + _TITLE + "'}]\n")

    answer = user.run("check")

    assert answer.code == 1
    assert "\x1b" not in answer.err + answer.out
    assert "\x07" not in answer.err + answer.out


def test_a_name_on_the_command_line_is_shown_safely(user: User) -> None:
    answer = user.run("explain", f"x{_TITLE}")

    assert answer.code == 2
    assert "\x1b" not in answer.err
