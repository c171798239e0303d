"""Field types shared by all documents: names, addresses, durations, labels."""

from __future__ import annotations

import functools
import ipaddress
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, StrictStr
from pydantic_core import PydanticCustomError, core_schema

from meshc.diagnostics.names import NAME_PATTERN, NAME_RULE, is_name

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

_DNS_NAME = re.compile(
    r"(?=.{1,253}\Z)(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?\Z"
)
# Exactly the IPv4 addresses in their only accepted form; `ipaddress` takes ten times as long.
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}\Z")
_LINK_LOCAL = re.compile(r"fe[89ab][0-9a-f]:")  # fe80::/10
_LOOKS_LIKE_IPV4 = re.compile(r"[0-9xX.a-fA-F]+\Z")
_DURATION = re.compile(r"([0-9]+)(?:\.([0-9]{1,3}))?(ms|s|m|h)\Z")
_DURATION_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}
_LONGEST_DURATION_MS = 24 * 3_600_000
_LABEL_KEY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_./-]{0,62}[A-Za-z0-9])?\Z")
_LONGEST_LABEL_VALUE = 256
_LONGEST_QUOTE = 60


class SpecModel(BaseModel):
    """Base of every part of a document: immutable, and unknown keys are errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, arbitrary_types_allowed=True
    )


def _name(value: object) -> object:
    if isinstance(value, str) and not is_name(value):
        raise PydanticCustomError(
            "MC205",
            "{value} is not a valid name",
            {"value": quoted(value), "hint": NAME_RULE},
        )
    return value


Name = Annotated[
    StrictStr, BeforeValidator(_name), Field(json_schema_extra={"pattern": NAME_PATTERN})
]
"""A service, host or mesh name."""


def quoted(value: object) -> str:
    """Show a value of the user's in a message: quoted, on one line, not endless."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    is_long = len(text) > _LONGEST_QUOTE
    shown = text[: _LONGEST_QUOTE - 3] if is_long else text
    shown = shown.encode("unicode_escape").decode("ascii").replace('"', "'")
    return f'"{shown}{"…" if is_long else ""}"'


@functools.lru_cache(maxsize=65_536)
def canonical_ip(text: str) -> str | None:
    """Return an IP address in its shortest form, or None where the text is not one.

    Equal addresses must be equal texts, or clashes on one port would go unnoticed.
    """
    if _IPV4.match(text):
        return text
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return None
        # ::ffff:10.0.0.1 is the socket of 10.0.0.1, and Pythons disagree about its short form.
        return str(address.ipv4_mapped or address)
    return str(address)


def _ip(value: object) -> object:
    if not isinstance(value, str):
        return value
    canonical = canonical_ip(value)
    if canonical is None:
        raise PydanticCustomError(
            "MC206",
            "{value} is not an IP address",
            {"value": quoted(value), "hint": _ip_hint(value)},
        )
    return _reachable(canonical, value)


def _reachable(canonical: str, value: str) -> str:
    """Refuse a link-local IPv6 address: Envoy cannot bind it or connect to it as it stands."""
    if _LINK_LOCAL.match(canonical):
        raise PydanticCustomError(
            "MC206",
            "{value} is a link-local address: which one is meant depends on an interface, and a "
            "document cannot name one",
            {
                "value": quoted(value),
                "hint": "use a global address, or a private one from fd00::/8",
            },
        )
    return canonical


def _ip_hint(value: str) -> str:
    if value == "localhost":
        return "write 127.0.0.1 or ::1: Envoy listens on addresses, not on names"
    if "%" in value:
        return "an address without an interface is needed: a global one, or one from fd00::/8"
    if value.startswith("["):
        return "write IPv6 addresses without brackets"
    if _LOOKS_LIKE_IPV4.match(value):
        return "an IPv4 address has four decimal numbers from 0 to 255, without leading zeros"
    return "write an IPv4 or IPv6 address; names are resolved for external hosts only"


def _host(value: object) -> object:
    if not isinstance(value, str):
        return value
    canonical = canonical_ip(value)
    if canonical is not None:
        return _reachable(canonical, value)
    last_label = value.rstrip(".").rpartition(".")[2]
    # A name whose last label is a number is an address in disguise (127.1, 0x7f.1); resolvers
    # disagree about it, so it is never taken for a name.
    if not _DNS_NAME.match(value) or last_label.isdigit() or last_label[:2].lower() == "0x":
        raise PydanticCustomError(
            "MC206",
            "{value} is neither an IP address nor a DNS name",
            {"value": quoted(value), "hint": _ip_hint(value) if last_label.isdigit() else None},
        )
    return value.rstrip(".").lower()


IpAddress = Annotated[StrictStr, BeforeValidator(_ip)]
"""An IPv4 or IPv6 address, kept in its shortest form."""

HostAddress = Annotated[StrictStr, BeforeValidator(_host)]
"""An IP address or a DNS name."""

Port = Annotated[StrictInt, Field(ge=1, le=65_535)]
"""A TCP port."""


Limit = Annotated[StrictInt, Field(ge=1, le=4_294_967_295)] | Literal["none"]
"""How much of something there may be at once; none: any amount."""


class IpPort(SpecModel):
    """An address that somebody on the host listens on."""

    host: IpAddress = Field(description="IPv4 or IPv6 address; 0.0.0.0 and :: mean every address.")
    port: Port = Field(description="TCP port, 1 to 65535.")


class HostPort(SpecModel):
    """An address that is called, as IP address or DNS name."""

    host: HostAddress = Field(description="IP address or DNS name.")
    port: Port = Field(description="TCP port, 1 to 65535.")


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """A length of time in whole milliseconds, written ``250ms``, ``1.5s``, ``5m`` or ``1h``."""

    milliseconds: int

    @property
    def envoy(self) -> str:
        """The duration as Envoy's JSON writes it, in seconds with an ``s``."""
        seconds, rest = divmod(self.milliseconds, 1_000)
        if rest == 0:
            return f"{seconds}s"
        return f"{seconds}.{rest:03d}".rstrip("0") + "s"

    def __str__(self) -> str:
        if self.milliseconds % 1_000:
            return f"{self.milliseconds}ms"
        return f"{self.milliseconds // 1_000}s"

    @classmethod
    def parse(cls, text: object) -> Duration:
        """Read a duration; raises PydanticCustomError with code MC207 where it is none."""
        hint = 'write a number and a unit, for example "250ms", "1.5s", "5m" or "1h"'
        if isinstance(text, Duration):
            return text
        if not isinstance(text, str) or (match := _DURATION.match(text)) is None:
            raise PydanticCustomError(
                "MC207", "{value} is not a duration", {"value": quoted(text), "hint": hint}
            )
        whole, fraction, unit = match.groups()
        units = int(whole.lstrip("0")[:12] or "0")
        thousandths = units * 1_000 + int((fraction or "0").ljust(3, "0"))
        milliseconds, rest = divmod(thousandths * _DURATION_UNITS[unit], 1_000)
        if rest:
            raise PydanticCustomError(
                "MC207",
                "{value} is finer than a millisecond",
                {"value": quoted(text), "hint": "durations are whole milliseconds"},
            )
        if milliseconds > _LONGEST_DURATION_MS:
            raise PydanticCustomError(
                "MC207",
                "{value} is longer than a day",
                {"value": quoted(text), "hint": "the longest duration is 24h; 0s switches off"},
            )
        return cls(milliseconds)

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
            "pattern": _DURATION.pattern.replace(r"\Z", "$").join(["^", ""]),
            "examples": ["250ms", "1.5s", "5m"],
        }


def at_least(minimum: str) -> BeforeValidator:
    """Refuse a duration below ``minimum``; used for settings where zero would mean never."""
    bound = Duration.parse(minimum)

    def check(value: object) -> Duration:
        duration = Duration.parse(value)
        if duration < bound:
            raise PydanticCustomError(
                "MC204",
                "{value} is too short",
                {"value": quoted(value), "hint": f"the shortest allowed here is {minimum}"},
            )
        return duration

    return BeforeValidator(check)


def _labels(value: object) -> object:
    if not isinstance(value, dict):
        return value
    for key, text in value.items():
        if not _LABEL_KEY.match(str(key)):
            raise PydanticCustomError(
                "MC208",
                "{value} is not a valid label name",
                {
                    "value": quoted(key),
                    "key": str(key),
                    "hint": 'label names are 1 to 64 letters, digits, ".", "_", "-" and "/", '
                    "with a letter or digit at both ends",
                },
            )
        if isinstance(text, str) and len(text) > _LONGEST_LABEL_VALUE:
            raise PydanticCustomError(
                "MC208",
                "the value of label {value} is longer than 256 characters",
                {
                    "value": quoted(key),
                    "key": str(key),
                    "hint": "labels are for short facts such as team or tier",
                },
            )
    return value


Labels = Annotated[dict[str, StrictStr], BeforeValidator(_labels)]
"""Free facts about a host, a service or the mesh; texts only, so write ``"1"`` and ``"true"``."""
