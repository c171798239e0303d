"""What a check says: nothing when the value is right, otherwise every fault with its place.

A check is one closure per field, rule or message type.  It returns the empty tuple for a
right value, so that the usual walk builds no path and no text; faults get their path on the
way back up.  One walk serves both, so there is one definition of every rule.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Fault: TypeAlias = tuple[str, str]
"""Where, relative to the checked value (".name", "[3]" or ""), and what."""

Faults: TypeAlias = Sequence[Fault]

Check: TypeAlias = Callable[[Any, int], Faults]
"""Takes a JSON value and the number of messages around it."""

CLEAN: Faults = ()
MAX_DEPTH = 100
"""How many messages may lie within each other: protobuf's own limit for JSON."""

TOO_DEEP: Faults = (("", f"is nested too deeply: at most {MAX_DEPTH} messages within each other"),)

_LONGEST_QUOTE = 80
_LONGEST_INTEGER_BITS = 128


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that Envoy would refuse, and where in the message it is.

    ``path`` is written as Envoy's documentation names fields, such as
    ``filter_chains[0].filters[1].typed_config.stat_prefix``; it is empty for the message
    itself.
    """

    path: str
    message: str


def fault(message: str) -> Faults:
    """Make the answer of a check that found one thing wrong with the value itself."""
    return (("", message),)


def gather(found: Faults, step: str, faults: Faults) -> Faults:
    """Add the faults of a part to those of the whole; ``step`` leads to the part."""
    # The first fault makes a list and later ones extend it: adding tuples would take
    # quadratic time for a long list of wrong items.
    gathered = found if isinstance(found, list) else list(found)
    gathered.extend((step + path, message) for path, message in faults)
    return gathered


def quoted(value: object) -> str:
    """Show a value of the message: short, on one line, and safe to print whatever it is."""
    if isinstance(value, str):
        if len(value) > _LONGEST_QUOTE:
            value = value[:_LONGEST_QUOTE] + "..."
        # A lone surrogate cannot be printed; everything else is shown as it was written.
        return json.dumps(value, ensure_ascii=not value.isprintable())
    if isinstance(value, int) and value.bit_length() > _LONGEST_INTEGER_BITS:
        return "a huge number"  # Python refuses to write out the longest of them
    if value is None or isinstance(value, (bool, int, float)):
        return json.dumps(value)
    if isinstance(value, dict):
        return "an object"
    return "a list" if isinstance(value, (list, tuple)) else "a value that JSON does not have"
