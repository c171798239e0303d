"""Answers, read strictly: what is not exactly as Consul writes it is an error, never a guess."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from meshc.consul.errors import (
    ConsulDeniedError,
    ConsulError,
    ConsulReplyError,
    ConsulUnavailableError,
)
from meshc.consul.kv import KvEntry, TxnFailure

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshc.consul.transport import Answer

_T = TypeVar("_T")
_U = TypeVar("_U")
_OK, _NOT_FOUND, _TOO_MANY, _FIRST_SERVER_ERROR = 200, 404, 429, 500
_DENIED = (401, 403)
_REDIRECTS = (301, 302, 303, 307, 308)
_DENIED_WORDS = ("ACL not found", "Permission denied")
_FILTERED = "x-consul-results-filtered-by-acls"
_LONGEST_QUOTE = 300
_MAX_DIGITS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply(Generic[_T]):
    """An answer with what Consul says about it.

    ``index`` is for the next blocking query.  ``last_contact_ms`` is how long ago the server
    that answered had last heard from the leader; it says little unless ``has_leader``.
    ``is_filtered`` says that the token may not see all that was asked for; Consul does not tell
    who comes without a token.
    """

    value: _T
    index: int = 0
    last_contact_ms: int = 0
    has_leader: bool = True
    is_filtered: bool = False

    def map(self, change: Callable[[_T], _U]) -> Reply[_U]:
        """Return the same about another value."""
        return Reply(
            value=change(self.value),
            index=self.index,
            last_contact_ms=self.last_contact_ms,
            has_leader=self.has_leader,
            is_filtered=self.is_filtered,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Reads the answers of one Consul; ``where`` names it in messages."""

    where: str

    def reply(self, answer: Answer) -> Reply[Any]:
        """Return the JSON of an answer.

        Raises:
            ConsulError: it is an error of Consul's, or malformed.
        """
        self.accept(answer)
        return self._reply(answer, self.json(answer))

    def reply_or_none(self, answer: Answer) -> Reply[Any]:
        """Return the JSON of an answer; None where Consul has no such thing.

        Not for lists: what is not found there is the call itself, and nothing is no list.

        Raises:
            ConsulError: it is an error of Consul's, or malformed.
        """
        return self._reply(answer, None) if answer.status == _NOT_FOUND else self.reply(answer)

    def _reply(self, answer: Answer, value: Any) -> Reply[Any]:
        return Reply(
            value=value,
            index=self._number(answer, "x-consul-index"),
            last_contact_ms=self._number(answer, "x-consul-lastcontact"),
            has_leader=answer.headers.get("x-consul-knownleader", "true").lower() == "true",
            is_filtered=answer.headers.get(_FILTERED, "").lower() == "true",
        )

    def accept(self, answer: Answer) -> None:
        """Pass if Consul did what it was asked for.

        Raises:
            ConsulDeniedError: the token does not allow it.
            ConsulUnavailableError: not now.
            ConsulError: it will never do that.
        """
        status = answer.status
        if status == _OK:
            return
        said = quoted(answer.body)
        if status in _DENIED or any(words in said for words in _DENIED_WORDS):
            raise self._denied(said)
        if status == _TOO_MANY or status >= _FIRST_SERVER_ERROR:
            raise ConsulUnavailableError(f"{self.where} cannot do that now: {status} {said}")
        if status in _REDIRECTS:
            raise ConsulError(
                f"{self.where} sends elsewhere, and redirects are not followed",
                hint="give the final address",
            )
        raise ConsulError(f"{self.where} refuses that: {status} {said}")

    def json(self, answer: Answer) -> Any:
        """Return the JSON of an answer.

        Raises:
            ConsulReplyError: it is none, names a field twice, or holds what JSON does not know.
        """
        try:
            return json.loads(
                answer.body.decode(), object_pairs_hook=_once, parse_constant=_no_constant
            )
        except (ValueError, RecursionError) as error:
            reason = str(error) if isinstance(error, _MalformedError) else "it is no JSON"
            raise ConsulReplyError(f"{self.where} answers what cannot be read: {reason}") from None

    def entries(self, value: Any) -> list[KvEntry]:
        """Return the entries of a listing.

        Raises:
            ConsulReplyError: they are not as Consul writes them.
        """
        try:
            return [_entry(one) for one in _list(value)]
        except _MalformedError as error:
            self.refuse(str(error))

    def failures(self, value: Any) -> tuple[TxnFailure, ...]:
        """Return why a transaction failed.

        Raises:
            ConsulDeniedError: because of the token; Consul calls that a conflict like any other.
        """
        try:
            found = tuple(
                TxnFailure(operation=_field(one, "OpIndex", int), reason=_field(one, "What", str))
                for one in _list(value)
            )
        except _MalformedError as error:
            self.refuse(str(error))
        for one in found:
            if any(words in one.reason for words in _DENIED_WORDS):
                raise self._denied(quoted(one.reason.encode()))
        return found

    def _denied(self, said: str) -> ConsulDeniedError:
        return ConsulDeniedError(
            f"{self.where} denies that: {said}",
            hint="does the token exist, and do its rules allow the call? "
            "docs/consul.md has the rules for each role",
        )

    def objects(self, value: Any) -> list[dict[str, Any]]:
        """Return a list of objects; null is what Go makes of an empty one."""
        found = [] if value is None else value
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            self.refuse("a list of objects was expected")
        return found

    def object(self, value: Any) -> dict[str, Any]:
        """Return an object."""
        if not isinstance(value, dict):
            self.refuse("an object was expected")
        return value

    def refuse(self, reason: str) -> NoReturn:
        """Say that an answer is of no use."""
        raise ConsulReplyError(f"{self.where} answers what cannot be read: {reason}")

    def _number(self, answer: Answer, header: str) -> int:
        text = answer.headers.get(header, "0")
        # Digits and no more of them than fit 64 bits: Python itself refuses thousands.
        if not (text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS):
            self.refuse(f"{header} is no number")
        return int(text)


class _MalformedError(ValueError):
    """What in an answer is not as it must be."""


def quoted(body: bytes) -> str:
    """Return words of Consul's for a message: on one line, printable, not endless."""
    text = " ".join(body[: _LONGEST_QUOTE * 4].decode("utf-8", "replace").split())
    shown = "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)
    return shown[:_LONGEST_QUOTE] + ("…" if len(shown) > _LONGEST_QUOTE else "")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _MalformedError("a field is there twice")
    return found


def _no_constant(text: str) -> NoReturn:
    raise _MalformedError(f"{text} is no value")


def _list(value: Any) -> list[Any]:
    found = [] if value is None else value
    if not isinstance(found, list):
        raise _MalformedError("a list was expected")
    return found


def _field(value: Any, name: str, kind: type[_T]) -> _T:
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, kind) or isinstance(found, bool):
        raise _MalformedError(f'"{name}" is missing or of the wrong kind')
    return found


def _entry(value: Any) -> KvEntry:
    encoded = value.get("Value") if isinstance(value, dict) else None
    try:
        # An empty value comes as null.
        plain = b"" if encoded is None else base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise _MalformedError("a value is no base64") from None
    return KvEntry(
        key=_field(value, "Key", str),
        value=plain,
        flags=_field(value, "Flags", int),
        modify_index=_field(value, "ModifyIndex", int),
        session=_field(value, "Session", str) if "Session" in value else "",
    )
