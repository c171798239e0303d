"""How the Envoy of a called host says that its application did not get a request, or not whole.

It answers in the application's place then, with a header that no application can set.  Callers'
Envoys repeat the request on another host where that is safe, and take the header off what they
pass on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshc.compile.resources import Message

FAILURE_HEADER = "x-meshc-failure"
UNREACHED = "unreached"
"""No connection to the application: it has seen nothing, so every request may be repeated."""
_RESET = "reset"
"""The connection ended before an answer began; the application may have seen the request."""


def local_reply_marks() -> Message:
    """Return a `LocalReplyConfig` that marks such answers; Envoy names them by response flags."""
    return {
        "mappers": [
            _mark(["UF"], UNREACHED),  # connection failure
            _mark(["UC", "UR"], _RESET),  # connection termination, remote reset
        ]
    }


def _mark(flags: list[str], value: str) -> Message:
    return {
        "filter": {"response_flag_filter": {"flags": flags}},
        "headers_to_add": [
            {
                "header": {"key": FAILURE_HEADER, "value": value},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ],
    }


def header_is(value: str | None) -> Message:
    """Return a matcher for answers that are marked with a value, or at all."""
    if value is None:
        return {"name": FAILURE_HEADER, "present_match": True}
    return {"name": FAILURE_HEADER, "string_match": {"exact": value}}
