"""The token: where it comes from, and that nobody sees it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from meshc.consul.errors import ConsulDeniedError

if TYPE_CHECKING:
    from pathlib import Path

_LONGEST = 4096


class Secret:
    """A text that shows itself to nobody who does not ask for it by name."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "Secret(…)" if self._text else "Secret()"

    __str__ = __repr__

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.reveal() == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __deepcopy__(self, _memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[type[Secret], tuple[str]]:
        raise TypeError("a secret is not written down")

    def reveal(self) -> str:
        """Return the text."""
        return self._text


class TokenSource:
    """Gives the token of the moment: what the file holds now, or the one that was given.

    The file is read for every request, a few microseconds beside a millisecond, because that
    has no stale case: whatever rotates tokens needs to tell nobody.
    """

    def __init__(self, given: Secret, file: Path | None) -> None:
        self._given = given
        self._file = file
        self._last = Secret("")
        self._lock = threading.Lock()

    def current(self) -> Secret:
        """Return the token for the next request.

        A file that vanishes or is empty for a moment, as it does while it is replaced in
        place, costs nothing once a token was read from it.

        Raises:
            ConsulDeniedError: there never was one in the file.
        """
        if self._file is None:
            return self._given
        try:
            token = read_token(self._file)
        except ConsulDeniedError:
            with self._lock:
                if self._last:
                    return self._last
            raise
        with self._lock:
            self._last = token
        return token


def read_token(path: Path) -> Secret:
    """Read a token from a file.

    Raises:
        ConsulDeniedError: it cannot be read, or holds no token.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConsulDeniedError(
            f'cannot read the Consul token in "{path}": {error.strerror or error}'
        ) from error
    return checked_token(data.decode("latin-1"), f'the file "{path}"')


def checked_token(text: str, where: str) -> Secret:
    """Return a token without the white space around it.

    Raises:
        ConsulDeniedError: it is empty, or cannot be one; the message does not show it.
    """
    token = text.strip()
    if not token:
        raise ConsulDeniedError(f"there is no Consul token in {where}")
    if len(token) > _LONGEST or not token.isascii() or not token.isprintable() or " " in token:
        raise ConsulDeniedError(f"what is in {where} is no Consul token")
    return Secret(token)
