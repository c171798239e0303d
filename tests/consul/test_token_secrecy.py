"""A token is seen by Consul and by nobody else, whatever goes wrong."""

from __future__ import annotations

import dataclasses
import logging
import os
import pickle
import socket
import subprocess
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from meshc.consul.client import ConsulClient
from meshc.consul.errors import ConsulError
from meshc.consul.kv import KvOperation
from meshc.consul.secret import Secret
from meshc.consul.settings import ConsulSettings
from tests.consul import model
from tests.consul.model import ModelConsul

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CANARY = "3f1c0ffe-cana-ry00-dead-beef00c0ffee"

_TESTS = str(Path(__file__).parent.parent)
_BUNDLE = str(Path(__file__).parent.parent / "cases" / "article" / "out")
_QUESTIONS: dict[str, Callable[[ConsulClient], object]] = {
    "kv_get": lambda client: client.kv_get("key"),
    "kv_put": lambda client: client.kv_put("key", b"x" * 500_000),
    "txn": lambda client: client.txn([KvOperation(verb="get", key="key")]),
    "catalog_register": lambda client: client.catalog_register({"Node": "a", "Address": "::1"}),
    "catalog_deregister": lambda client: client.catalog_deregister("a"),
    "agent_register": lambda client: client.agent_register({"Name": "a"}),
    "session_create": lambda client: client.session_create("a", ttl=10, lock_delay=0),
}
_TROUBLES = {
    "403": model.status(403, "Permission denied"),
    "500": model.status(500, "No cluster leader"),
    "garbage": model.raw(b"{", headers={"content-encoding": "gzip"}),
    "reset": model.reset,
    "no HTTP": lambda connection: connection.sendall(b"SSH-2.0-x\r\n"),
    "silence": lambda connection: connection.recv(1) and None,
}


@pytest.fixture
def consul() -> Iterator[ModelConsul]:
    with ModelConsul() as started:
        yield started


def everything_of(error: BaseException) -> str:
    """What a careless reporter would write: frames with their variables, causes, attributes."""
    written = []
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        told = traceback.TracebackException.from_exception(one, capture_locals=True)
        # Frames of the tests know the token, as they must.
        told.stack = traceback.StackSummary.from_list(
            [frame for frame in told.stack if not frame.filename.startswith(_TESTS)]
        )
        written += [*told.format(), repr(one), repr(vars(one)), repr(one.args)]
        waiting += [one.__cause__, one.__context__]
    return "\n".join(written)


def test_the_search_for_a_token_finds_one_that_is_in_a_frame() -> None:
    place: dict[str, Callable[[str], None]] = {}
    exec(compile("def fail(token):\n    raise KeyError", "elsewhere.py", "exec"), place)
    with pytest.raises(KeyError) as found:
        place["fail"](CANARY)
    assert CANARY in everything_of(found.value)


@pytest.mark.parametrize("question", _QUESTIONS)
@pytest.mark.parametrize("trouble", _TROUBLES)
def test_no_error_and_no_log_carries_the_token(
    consul: ModelConsul, caplog: pytest.LogCaptureFixture, trouble: str, question: str
) -> None:
    caplog.set_level(logging.DEBUG)
    consul.always = _TROUBLES[trouble]
    with consul.client(timeout=0.3, token=CANARY) as client, pytest.raises(ConsulError) as found:
        _QUESTIONS[question](client)
    asked = [one.headers["x-consul-token"] for one in consul.questions]
    assert asked == [CANARY]
    assert CANARY not in everything_of(found.value)
    assert CANARY not in caplog.text


@pytest.mark.parametrize("address", ["http://127.0.46.9:1", "http://consul.invalid:1"])
def test_nor_does_one_where_nobody_answers(address: str) -> None:
    settings = ConsulSettings(address=address, token=Secret(CANARY))
    with ConsulClient(settings) as client, pytest.raises(ConsulError) as found:
        client.kv_get("key")
    assert CANARY not in everything_of(found.value)


def test_nor_does_one_where_tls_fails(consul: ModelConsul) -> None:
    address = consul.address.replace("http:", "https:")
    settings = ConsulSettings(address=address, token=Secret(CANARY))
    with ConsulClient(settings) as client, pytest.raises(ConsulError, match="TLS") as found:
        client.kv_get("key")
    assert CANARY not in everything_of(found.value)


def test_nor_does_one_where_nobody_takes_what_is_sent() -> None:
    """Sending fails in the very frame of the library that holds what is sent."""
    with socket.create_server(("127.0.46.5", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        address = f"http://127.0.46.5:{listener.getsockname()[1]}"
        settings = ConsulSettings(address=address, token=Secret(CANARY), timeout=0.5)
        with ConsulClient(settings) as client, pytest.raises(ConsulError) as found:
            client.txn(
                [KvOperation(verb="set", key=f"key{one}", value=b"x" * 80_000) for one in range(4)]
            )
    assert CANARY not in everything_of(found.value)


def test_nothing_that_knows_the_token_shows_it(consul: ModelConsul, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(CANARY)
    settings = ConsulSettings(token=Secret(CANARY), token_file=file)
    client = consul.client(token=CANARY)
    with client:
        client.kv_get("key")
        shown = [repr(one) for one in (settings, settings.tokens(), client, client.token_mark())]
        shown += [repr(vars(client)), repr(vars(client._transport)), repr(vars(client._api))]
        shown += [repr(dataclasses.asdict(settings)), f"{settings.tokens().current()}"]
    assert CANARY not in "\n".join(shown)


def test_a_secret_is_not_written_down() -> None:
    with pytest.raises(TypeError, match="not written down"):
        pickle.dumps(Secret(CANARY))


@pytest.mark.parametrize(
    "command",
    [
        ["svc", "list", "--specs", "consul:///shop"],
        ["publish", "consul", "--out", _BUNDLE],
        ["consul", "sync", "--out", _BUNDLE],
    ],
    ids=lambda one: " ".join(one[:2]),
)
def test_no_command_that_fails_shows_the_token_however_much_it_says(
    consul: ModelConsul, tmp_path: Path, command: list[str]
) -> None:
    consul.always = model.status(403, "Permission denied")
    ended = subprocess.run(
        [sys.executable, "-m", "meshc", *command, "-vv"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=tmp_path,
        env=os.environ | {"CONSUL_HTTP_ADDR": consul.address, "CONSUL_HTTP_TOKEN": CANARY},
    )
    said = ended.stdout + ended.stderr
    assert ended.returncode == 3, said
    assert "Traceback" in said
    assert "Permission denied" in said
    assert CANARY not in said
    assert consul.questions[0].headers["x-consul-token"] == CANARY
