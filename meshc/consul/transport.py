"""One exchange with Consul over HTTP: bounded in time and size, and nothing else followed.

It stands below py-consul, which knows how a call is spelled.  py-consul's own transport would
follow redirects, ask the environment for proxies and `.netrc` for passwords, keep a whole answer
however large it is, and put the token where an exception carries it along.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from consul.base import HTTPClient
from urllib3.exceptions import HTTPError, SSLError
from urllib3.util import Timeout

from meshc.consul.connections import Exchange, OpenSockets, PlainPool, TlsPool, tls_context
from meshc.consul.errors import ConsulDeniedError, ConsulReplyError, ConsulUnreachableError
from meshc.consul.failures import Failure, explained

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from ssl import SSLContext

    from urllib3 import BaseHTTPResponse
    from urllib3.connectionpool import HTTPConnectionPool

    from meshc.consul.settings import ConsulSettings

_PIECE = 64 * 1024
_MAX_ERROR = 64 * 1024
"""A transaction that is denied has a reason for each of its operations."""
_CONNECTIONS = 8
_CONNECT_S = 5.0
_FIRST_ERROR = 400
_LATE = 0.1
"""Consul waits up to a sixteenth longer than it was asked to; a tenth leaves way for the answer."""
_LEAST_LATE_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport(HTTPClient):
    """py-consul's HTTP client, done with care.

    The callbacks that py-consul hands in are not called: they read an answer less strictly than
    `meshc.consul.reading`.  What its calls return is an `Answer`.
    """

    def __init__(self, settings: ConsulSettings, *, max_body: int, user_agent: str) -> None:
        endpoint = settings.endpoint
        super().__init__(endpoint.host, endpoint.port, endpoint.scheme)
        self._settings = settings
        self._where = f"Consul at {endpoint}"
        self._tokens = settings.tokens()
        self._max_body = max_body
        self._user_agent = user_agent
        self._exchange = Exchange()
        self._counting = threading.Lock()
        self.exchanges = 0
        self._sockets = OpenSockets()
        self._pool: HTTPConnectionPool | None = None

    @property
    def where(self) -> str:
        """Which Consul, for messages."""
        return self._where

    def token_mark(self) -> object:
        """Return what differs when the token differs, and is not the token."""
        try:
            return hash(self._tokens.current())
        except ConsulDeniedError:
            return None

    # The signatures are py-consul's; what it calls `headers` is left out, as it would be without
    # the token anyway.

    def get(
        self,
        callback: Any,
        path: Any,
        params: Any = None,
        headers: Any = None,
        raw: bool = False,  # noqa: FBT001, FBT002, see above
    ) -> Any:
        """Ask."""
        del callback, headers, raw
        return self._ask("GET", path, params, None)

    def put(
        self, callback: Any, path: Any, params: Any = None, data: Any = "", headers: Any = None
    ) -> Any:
        """Write."""
        del callback, headers
        return self._ask("PUT", path, params, data)

    def delete(
        self, callback: Any, path: Any, params: Any = None, data: Any = "", headers: Any = None
    ) -> Any:
        """Delete."""
        del callback, headers
        return self._ask("DELETE", path, params, data)

    def post(
        self, callback: Any, path: Any, params: Any = None, data: Any = "", headers: Any = None
    ) -> Any:
        """Send; py-consul asks for it, no call of meshc does."""
        del callback, headers
        return self._ask("POST", path, params, data)

    def close(self) -> None:
        """Close every connection, also one that another thread waits on; there is no way back."""
        self._sockets.cut()
        if self._pool is not None:
            self._pool.close()

    def _ask(self, method: str, path: str, params: Any, data: str | bytes | None) -> Answer:
        if self._sockets.is_closed:
            raise ConsulUnreachableError(f"{self._where} is not asked any more: it was closed")
        limit = _limit(params, self._settings.timeout)
        self._exchange.deadline = time.monotonic() + limit
        target = self.uri(path, params).removeprefix(self.base_uri)
        body = data.encode() if isinstance(data, str) else data
        with self._counting:
            self.exchanges += 1
        for _ in range(_CONNECTIONS + 1):
            self._exchange.is_fresh = False
            sent = self._send(method, target, body, limit)
            is_stale = isinstance(sent, Failure) and sent.is_cut and not self._exchange.is_fresh
            # A kept connection may have been closed from afar a moment ago.  Reading twice does
            # no harm; what was written may have been heard, and only the caller knows what then.
            if method != "GET" or not is_stale or self._sockets.is_closed:
                break
        found = sent if isinstance(sent, Failure) else self._read(sent, limit)
        if isinstance(found, Failure):
            raise ConsulUnreachableError(
                f"{self._where} does not answer: {found.reason}", hint=found.hint
            )
        return found

    def _send(
        self, method: str, target: str, body: bytes | None, limit: float
    ) -> BaseHTTPResponse | Failure:
        """Return an answer whose body is still to come.

        A failure is returned and not raised: this frame knows the token, and an exception that
        left it would carry the frame along, and the library's own, which holds what was sent.
        """
        pool = self._opened()
        token = self._tokens.current()
        headers = {"Accept-Encoding": "identity", "User-Agent": self._user_agent}
        if token:
            headers["X-Consul-Token"] = token.reveal()
        try:
            return pool.urlopen(
                method,
                target,
                body=body,
                headers=headers,
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
                timeout=Timeout(total=limit, connect=min(_CONNECT_S, limit)),
            )
        except SSLError as error:
            self._pool = None  # certificates are renewed on disk; the next try reads them anew
            return explained(error, limit)
        except (HTTPError, OSError) as error:
            return explained(error, limit)

    def _read(self, response: BaseHTTPResponse, limit: float) -> Answer | Failure:
        headers = {name.lower(): value for name, value in response.headers.items()}
        is_error = response.status >= _FIRST_ERROR
        parts: list[bytes] = []
        room = _MAX_ERROR if is_error else self._max_body
        is_whole = False
        try:
            self._refuse_encoded(headers)
            for piece in response.stream(_PIECE, decode_content=False):
                parts.append(piece)
                room -= len(piece)
                if room < 0 and not is_error:
                    raise ConsulReplyError(
                        f"{self._where} answers with more than {self._max_body} bytes",
                        hint="ask for fewer things at once, or is that Consul?",
                    )
                if room < 0:
                    break  # enough of an error to show it
            is_whole = room >= 0
        except (HTTPError, OSError) as error:
            return explained(error, limit)
        finally:
            if is_whole:
                response.release_conn()
            else:
                response.close()
        return Answer(status=response.status, headers=headers, body=b"".join(parts))

    def _refuse_encoded(self, headers: Mapping[str, str]) -> None:
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise ConsulReplyError(
                f"{self._where} answers compressed, though plain was asked for",
                hint="a small answer could be huge when unpacked; is there a proxy between?",
            )

    def _opened(self) -> HTTPConnectionPool:
        if self._pool is None:
            named: dict[str, Any] = {"exchange": self._exchange, "sockets": self._sockets}
            if self.scheme == "https":
                named["ssl_context"] = self._context()
                if self._settings.server_name:
                    named["server_hostname"] = self._settings.server_name
            kind = TlsPool if self.scheme == "https" else PlainPool
            self._pool = kind(self.host, self.port, maxsize=_CONNECTIONS, **named)
        return self._pool

    def _context(self) -> SSLContext:
        files = [self._settings.ca_file, self._settings.cert_file, self._settings.key_file]
        ca_file, cert_file, key_file = (None if one is None else str(one) for one in files)
        try:
            return tls_context(ca_file=ca_file, cert_file=cert_file, key_file=key_file)
        except OSError as error:
            # Not a mistake in the settings for good: files are replaced while a program runs.
            named = ", ".join(f'"{one}"' for one in files if one is not None)
            reason = error.strerror or str(error)
            raise ConsulUnreachableError(
                f"cannot use the certificates for Consul in {named}: {reason}"
            ) from error


def _limit(params: Sequence[tuple[str, Any]] | None, timeout: float) -> float:
    """Return how long an exchange may take; a blocking query waits before it answers."""
    named = dict(params or ())
    if "index" not in named or "wait" not in named:
        return timeout
    wait = float(str(named["wait"]).removesuffix("ms")) / 1000
    return wait + max(wait * _LATE, _LEAST_LATE_S)
