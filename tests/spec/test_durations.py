"""Durations: how they are written, what is refused, and how they are kept."""

from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import TypeAdapter

from meshc.spec.fields import (
    Duration,
    at_least,
    quoted,
)
from tests.spec.refusing import refusal

DURATIONS: TypeAdapter[Duration] = TypeAdapter(Duration)
AtLeast = Annotated[Duration, at_least("2s")]


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("0s", 0),
        ("0ms", 0),
        ("1ms", 1),
        ("250ms", 250),
        ("5.0ms", 5),
        ("1s", 1_000),
        ("1.5s", 1_500),
        ("0.001s", 1),
        ("1.25m", 75_000),
        ("1.001h", 3_603_600),
        ("0.5h", 1_800_000),
        ("24h", 86_400_000),
        ("1440m", 86_400_000),
        ("86400000ms", 86_400_000),
        ("007s", 7_000),
        ("0000000000000000005s", 5_000),
    ],
)
def test_a_duration_is_a_number_with_a_unit(text: str, milliseconds: int) -> None:
    assert DURATIONS.validate_python(text) == Duration(milliseconds)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("", '""'),
        ("5", '"5"'),
        ("s", '"s"'),
        (".5s", '".5s"'),
        ("5 s", '"5 s"'),
        ("5S", '"5S"'),
        ("-1s", '"-1s"'),
        ("+1s", '"+1s"'),
        ("1d", '"1d"'),
        ("1m30s", '"1m30s"'),
        ("1e3s", '"1e3s"'),
        ("1.0000s", '"1.0000s"'),
        ("1.s", '"1.s"'),
        ("5s\n", r'"5s\n"'),
        ("\u0665s", r'"\u0665s"'),
        (5, '"5"'),
        (None, '"null"'),
        (True, '"true"'),
        ([], '"[]"'),
    ],
)
def test_everything_else_is_no_duration(value: object, shown: str) -> None:
    assert refusal(DURATIONS, value) == (
        "MC207",
        f"{shown} is not a duration",
        'write a number and a unit, for example "250ms", "1.5s", "5m" or "1h"',
    )


@pytest.mark.parametrize("text", ["0.5ms", "1.001ms"])
def test_a_duration_finer_than_a_millisecond_is_refused(text: str) -> None:
    assert refusal(DURATIONS, text) == (
        "MC207",
        f'"{text}" is finer than a millisecond',
        "durations are whole milliseconds",
    )


@pytest.mark.parametrize("text", ["24.001h", "86401s", "9" * 5_000 + "ms"])
def test_a_duration_longer_than_a_day_is_refused(text: str) -> None:
    assert refusal(DURATIONS, text) == (
        "MC207",
        f"{quoted(text)} is longer than a day",
        "the longest duration is 24h; 0s switches off",
    )


@pytest.mark.parametrize(
    ("milliseconds", "envoy", "text"),
    [
        (0, "0s", "0s"),
        (1, "0.001s", "1ms"),
        (25, "0.025s", "25ms"),
        (500, "0.5s", "500ms"),
        (1_500, "1.5s", "1500ms"),
        (10_000, "10s", "10s"),
        (86_400_000, "86400s", "86400s"),
    ],
)
def test_a_duration_is_written_as_envoy_and_as_people_read_it(
    milliseconds: int, envoy: str, text: str
) -> None:
    assert Duration(milliseconds).envoy == envoy
    assert str(Duration(milliseconds)) == text


def test_a_duration_that_is_one_already_stays_as_it_is() -> None:
    duration = Duration(5)

    assert Duration.parse(duration) is duration


def test_a_duration_is_a_text_again_in_json() -> None:
    assert DURATIONS.dump_json(Duration(250)) == b'"250ms"'


def test_the_schema_of_a_duration_says_how_it_is_written() -> None:
    assert DURATIONS.json_schema() == {
        "type": "string",
        "pattern": "^([0-9]+)(?:\\.([0-9]{1,3}))?(ms|s|m|h)$",
        "examples": ["250ms", "1.5s", "5m"],
    }


def test_a_duration_below_the_least_allowed_is_refused() -> None:
    adapter: TypeAdapter[Duration] = TypeAdapter(AtLeast)

    assert adapter.validate_python("2s") == Duration(2_000)
    assert refusal(adapter, "1999ms") == (
        "MC204",
        '"1999ms" is too short',
        "the shortest allowed here is 2s",
    )
