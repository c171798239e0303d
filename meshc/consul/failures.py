"""Why there was no answer, in words, without anything that was sent."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from urllib3.exceptions import (
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    SSLError,
)
from urllib3.exceptions import (
    TimeoutError as LateError,
)

_CERTIFICATE_HINT = (
    "name the authority of Consul's certificate (CONSUL_CACERT), "
    "or the name in it (CONSUL_TLS_SERVER_NAME)"
)
_ADDRESS_HINT = "is Consul running there? CONSUL_HTTP_ADDR says where it is looked for"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What is to be said about it."""

    reason: str
    hint: str | None = None
    is_cut: bool = False
    """The connection ended before a word of an answer came."""


def explained(error: HTTPError | OSError, limit: float) -> Failure:
    """Put an error of the library into words; ``limit`` is what the exchange was given."""
    if isinstance(error, NameResolutionError):
        return Failure(reason="there is no such host", hint=_ADDRESS_HINT)
    if isinstance(error, NewConnectionError):
        return Failure(reason=_reason(error.__cause__), hint=_ADDRESS_HINT)
    if isinstance(error, LateError | TimeoutError):
        return Failure(reason=f"no complete answer within {limit:g} s")
    if isinstance(error, SSLError | ssl.SSLError):
        return _of_tls(error)
    if isinstance(error, ProtocolError):
        inner = error.args[-1] if error.args else error
        return Failure(reason=_reason(inner), is_cut=isinstance(inner, ConnectionError))
    return Failure(reason=_reason(error))


def _of_tls(error: BaseException) -> Failure:
    inner = error.args[0] if error.args and isinstance(error.args[0], Exception) else error
    message = getattr(inner, "verify_message", "")
    if message:
        return Failure(reason=f"its certificate does not hold: {message}", hint=_CERTIFICATE_HINT)
    return Failure(reason=f"TLS fails: {_reason(inner)}", hint="does it speak TLS there?")


def _reason(error: object) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text[0].lower() + text[1:] if isinstance(text, str) else type(error).__name__
