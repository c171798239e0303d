"""Sizes: how they are written, what is refused, and how they are kept."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from meshc.spec.sizes import Size

SIZES: TypeAdapter[Size] = TypeAdapter(Size)


@pytest.mark.parametrize(
    ("text", "count", "shown"),
    [
        ("0KiB", 0, "0KiB"),
        ("64KiB", 65_536, "64KiB"),
        ("1024KiB", 1_048_576, "1MiB"),
        ("16MiB", 16_777_216, "16MiB"),
        ("1536KiB", 1_572_864, "1536KiB"),
        ("1GiB", 1_073_741_824, "1GiB"),
        ("0000000001KiB", 1_024, "1KiB"),
    ],
)
def test_a_size_is_a_number_with_a_unit(text: str, count: int, shown: str) -> None:
    size = SIZES.validate_python(text)

    assert size == Size(count)
    assert str(size) == shown
    assert SIZES.dump_json(size) == f'"{shown}"'.encode()


@pytest.mark.parametrize("value", [16, 1.5, None, "", "16", "16MB", "16 MiB", "-1KiB", "1.5MiB"])
def test_anything_else_is_refused_with_an_example(value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        SIZES.validate_python(value)

    (error,) = caught.value.errors()
    assert error["type"] == "MC210"
    assert error["msg"].endswith("is not a size")
    assert error["ctx"]["hint"] == 'write a number and a unit, for example "64KiB" or "16MiB"'


@pytest.mark.parametrize("text", ["2GiB", "1025MiB", "9999999999GiB"])
def test_nothing_is_larger_than_a_gibibyte(text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        SIZES.validate_python(text)

    assert caught.value.errors()[0]["msg"] == f'"{text}" is more than 1GiB'


def test_a_size_is_a_size_already() -> None:
    assert SIZES.validate_python(Size(2_048)) == Size(2_048)
