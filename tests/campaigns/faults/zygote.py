"""A warm process that forks the real agent for one run, told and answering over one socket.

Starting Python costs more than a delivery; a fork of a process that has imported everything costs
milliseconds.  One message is one packet of JSON.  The run stops where it is asked to, so that
somebody can attach to exactly that thread.
"""

from __future__ import annotations

import ctypes
import gc
import io
import json
import os
import socket
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, NoReturn

from meshc.delivery.agent import deliver, unconfirmed
from meshc.delivery.agent.confirm import Patience
from meshc.delivery.agent.prepare import prepare
from meshc.delivery.agent.run import Agent
from meshc.delivery.agent.settings import AgentSettings
from meshc.delivery.agent.sources import directory as _directory  # imported late by the agent
from meshc.delivery.agent.status import word_of
from meshc.delivery.log import Log
from meshc.diagnostics.errors import MeshcError
from tests.campaigns.faults import mutants

MOST_BYTES = 256 * 1024
GO = b"go"
_ALLOW_ANY_TRACER = 0x59616D61, ctypes.c_ulong(-1)
_KEPT = (_directory,)


class _Link:
    """The parent's end of the socket, as the run sees it."""

    def __init__(self, channel: socket.socket, stop_at: str) -> None:
        self._channel = channel
        self._stop_at = stop_at

    def say(self, **facts: object) -> None:
        self._channel.send(json.dumps(facts).encode())

    def reached(self, place: str) -> None:
        """Stop here until told to go on, where that was asked for."""
        if place == self._stop_at:
            self.say(at=place, pid=os.getpid(), tid=threading.get_native_id())
            self._channel.recv(16)


class _StoppingAgent(Agent):
    link: _Link

    def _worker(self) -> None:
        self.link.reached("worker")
        super()._worker()


def _run(order: dict[str, Any], link: _Link) -> dict[str, Any]:
    """Do what is ordered with the real code; returns what a user would have been told."""
    given = order["settings"]
    settings = AgentSettings(
        **given | {"target": Path(given["target"]), "state": Path(given["state"])}
    )
    said = io.StringIO()
    found: dict[str, Any] = {}
    try:
        if order["action"] == "prepare":
            found = {"verdict": "DONE", "summary": prepare(settings)}
        else:
            with _StoppingAgent(settings, Log(said), is_resident=False) as agent:
                agent.link = link
                verdict = agent.once()
                word = word_of(agent.state)
                found = {"verdict": verdict.name, "state": word.state, "summary": word.summary}
    except MeshcError as error:
        found = {"verdict": "ERROR", "summary": error.message}
    except BaseException:  # noqa: BLE001, whatever it is, it is what is looked for
        found = {"verdict": "TRACEBACK", "summary": traceback.format_exc()}
    return found | {"log": said.getvalue()[-MOST_BYTES // 4 :]}


def _be_quick(notice: float) -> None:
    """Take a rename for overlooked after this time."""
    defaults: dict[str, Any] = deliver.deliver.__kwdefaults__ or {}
    defaults["patience"] = Patience(notice=notice)


def _child(channel: socket.socket, order: dict[str, Any]) -> NoReturn:
    ctypes.CDLL(None).prctl(*_ALLOW_ANY_TRACER, 0, 0, 0)
    link = _Link(channel, order["stop_at"])
    if order["mutant"]:
        mutants.MUTANTS[order["mutant"]]()
    unconfirmed._DRAIN_MARGIN_S = 0.0
    _be_quick(order["notice"])
    link.reached("main")
    link.say(result=_run(order, link))
    os._exit(0)


def main() -> None:
    """Fork one run after the other, until the parent closes the socket."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    gc.freeze()
    while order := channel.recv(MOST_BYTES):
        if order == GO:
            continue  # for a run that was killed before it could go on
        pid = os.fork()
        if not pid:
            _child(channel, json.loads(order))
        _, status = os.waitpid(pid, 0)
        channel.send(json.dumps({"exit": os.waitstatus_to_exitcode(status)}).encode())


if __name__ == "__main__":
    main()
