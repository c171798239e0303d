"""A wire between a client and a Consul that can swallow what is sent, as a dead router does."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from typing import Self

_PIECE = 64 * 1024


class Wire:
    """Passes connections on; while it is ``dead`` they stay open and nothing passes."""

    def __init__(self, target: tuple[str, int], host: str = "127.0.46.3") -> None:
        self._target = target
        self._listener = socket.create_server((host, 0), backlog=128)
        self._alive = threading.Event()
        self._alive.set()
        self._end = threading.Event()
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self.accepted = 0

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._end.set()
        self._alive.set()
        for one in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join(10)

    @property
    def address(self) -> str:
        host, port = self._listener.getsockname()[:2]
        return f"http://{host}:{port}"

    def kill(self) -> None:
        """Let nothing through any more, in no direction, and tell nobody."""
        self._alive.clear()

    def revive(self) -> None:
        self._alive.set()

    def _accept(self) -> None:
        while not self._end.is_set():
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
            except OSError:
                return
            self.accepted += 1
            self._open += [near, far]
            thread = threading.Thread(target=self._pass, args=(near, far))
            self._threads.append(thread)
            thread.start()

    def _pass(self, near: socket.socket, far: socket.socket) -> None:
        other = {near: far, far: near}
        try:
            with contextlib.suppress(OSError, ValueError):  # the latter: closed under `select`
                while not self._end.is_set():
                    ready, _, _ = select.select([near, far], [], [], 0.1)
                    for one in ready:
                        self._alive.wait()
                        piece = one.recv(_PIECE)
                        if not piece:
                            return
                        other[one].sendall(piece)
        finally:
            near.close()
            far.close()
