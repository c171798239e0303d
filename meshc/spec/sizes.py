"""Amounts of memory, as `Duration` is for time: a number with a unit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticCustomError, core_schema

from meshc.spec.fields import quoted

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

_SIZE = re.compile(r"([0-9]{1,10})(KiB|MiB|GiB)\Z")
_UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_LARGEST = 1 << 30


@dataclass(frozen=True, slots=True, order=True)
class Size:
    """An amount of memory in bytes, written ``64KiB``, ``16MiB`` or ``1GiB``; at most that."""

    count: int

    def __str__(self) -> str:
        for unit in ("GiB", "MiB"):
            if self.count and not self.count % _UNITS[unit]:
                return f"{self.count // _UNITS[unit]}{unit}"
        return f"{self.count // _UNITS['KiB']}KiB"

    @classmethod
    def parse(cls, text: object) -> Size:
        """Read a size; raises PydanticCustomError with code MC210 where it is none."""
        if isinstance(text, Size):
            return text
        if not isinstance(text, str) or (match := _SIZE.match(text)) is None:
            hint = 'write a number and a unit, for example "64KiB" or "16MiB"'
            raise PydanticCustomError(
                "MC210", "{value} is not a size", {"value": quoted(text), "hint": hint}
            )
        count = int(match[1]) * _UNITS[match[2]]
        if count > _LARGEST:
            raise PydanticCustomError(
                "MC210",
                "{value} is more than 1GiB",
                {"value": quoted(text), "hint": "the largest size is 1GiB"},
            )
        return cls(count)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, _source: Any, _handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _schema: core_schema.CoreSchema, _handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {
            "type": "string",
            "pattern": "^[0-9]{1,10}(KiB|MiB|GiB)$",
            "examples": ["64KiB", "16MiB"],
        }
