"""Requests of operators to a running agent, as files: no port, and nothing to keep open.

A request is a file in ``<state>/control``; its answer is another one beside it.  Whoever may
write there is whoever the file system lets.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from meshc.delivery.agent.durable import make_folder
from meshc.delivery.errors import DeliveryError

if TYPE_CHECKING:
    from pathlib import Path

_REQUEST, _ANSWER = ".request", ".answer"
_PAUSE_S = 0.02
_READABLE = 0o644
_MAX_SIZE = 64 * 1024
_OLD_S = 600.0
COMMANDS = ("pause", "resume", "rollback", "allow")


@dataclass(frozen=True, slots=True)
class Request:
    """One request; ``name`` is what its answer is filed under."""

    name: str
    command: str
    arguments: dict[str, Any] = field(default_factory=dict)


def submit(state: Path, command: str, **arguments: str) -> str:
    """File a request; returns its name.

    Raises:
        DeliveryError: the agent's folder cannot be written to.
    """
    folder = state / "control"
    name = f"{time.time_ns()}-{os.getpid()}"
    text = json.dumps({"command": command, **arguments})
    place = folder / f"{name}{_REQUEST}"
    try:
        draft = folder / f".{name}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(draft, flags, _READABLE), "w", encoding="utf-8") as stream:
            # Root's umask may be strict, and the agent is another user; the folder is its own.
            os.fchmod(stream.fileno(), _READABLE)
            stream.write(text)
        draft.rename(place)
    except OSError as error:
        raise DeliveryError(
            f'cannot reach the agent through "{folder}": {error.strerror or error}',
            hint="run this as the agent's user, or as root",
        ) from error
    return name


def await_answer(state: Path, name: str, limit_s: float) -> dict[str, Any]:
    """Wait for the answer to a request.

    Raises:
        DeliveryError: there is none in time; the request is withdrawn if nobody has taken it.
    """
    answer = state / "control" / f"{name}{_ANSWER}"
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        try:
            found = json.loads(answer.read_bytes())
        except FileNotFoundError:
            time.sleep(_PAUSE_S)
            continue
        with contextlib.suppress(OSError):
            answer.unlink()
        return dict(found)
    with contextlib.suppress(OSError):
        (state / "control" / f"{name}{_REQUEST}").unlink()
    raise DeliveryError(
        f"the agent did not answer within {limit_s:.0f} s",
        hint="meshc agent status tells what it is doing; it may still come to this",
    )


class Inbox:
    """The agent's side: takes requests, answers them, clears away what nobody fetched."""

    def __init__(self, state: Path) -> None:
        self._folder = state / "control"

    def prepare(self) -> None:
        """Make the folder; raises OSError where that cannot be."""
        make_folder(self._folder, 0o700)

    def take(self) -> list[Request]:
        """Return new requests in the order in which they came; each is returned once."""
        try:
            names = sorted(os.listdir(self._folder))  # noqa: PTH208, twice a second
        except OSError:
            return []
        found = []
        for name in names:
            place = self._folder / name
            if name.endswith(_REQUEST):
                request = self._read(place)
                with contextlib.suppress(OSError):
                    place.unlink()
                if request is not None:
                    found.append(request)
            elif name.endswith(_ANSWER) or name.startswith("."):
                self._clear(place)
        return found

    def answer(self, request: Request, **facts: object) -> None:
        """File an answer; one that cannot be written is not worth an error."""
        with contextlib.suppress(OSError):
            draft = self._folder / f".{request.name}"
            draft.write_text(json.dumps(facts), encoding="utf-8")
            draft.rename(self._folder / f"{request.name}{_ANSWER}")

    def _read(self, place: Path) -> Request | None:
        try:
            # A pipe must keep nobody waiting; it reads as an empty file.
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(place, flags), "rb") as stream:
                content = json.loads(stream.read(_MAX_SIZE))
            command = content.pop("command")
        except (OSError, ValueError, RecursionError, AttributeError, KeyError, TypeError):
            return None
        if command not in COMMANDS:
            return None
        return Request(place.name.removesuffix(_REQUEST), command, content)

    def _clear(self, place: Path) -> None:
        with contextlib.suppress(OSError):
            if time.time() - place.stat().st_mtime > _OLD_S:
                place.unlink()
