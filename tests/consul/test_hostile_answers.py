"""Answers that no Consul gives: each is an error, bounded in time and memory."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from meshc.consul.client import ConsulClient
from meshc.consul.errors import (
    ConsulDeniedError,
    ConsulError,
    ConsulReplyError,
    ConsulUnavailableError,
    ConsulUnreachableError,
)
from meshc.consul.kv import KvOperation
from meshc.consul.settings import ConsulSettings
from tests.consul import model
from tests.consul.model import ModelConsul, entry

if TYPE_CHECKING:
    from collections.abc import Iterator

_MIB = 1 << 20


@pytest.fixture
def consul() -> Iterator[ModelConsul]:
    with ModelConsul() as started:
        yield started


def said(**changes: Any) -> bytes:
    return json.dumps([entry("key", b"value", 7) | changes]).encode()


GOOD = said()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (GOOD[:-10], "no JSON"),
        (b"", "no JSON"),
        (b"<html>", "no JSON"),
        (b"\xff" + GOOD, "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[" + b"9" * 5000 + b"]", "no JSON"),
        (GOOD.replace(b'"Key"', b'"Flags": 0, "Key"'), "a field is there twice"),
        (GOOD.replace(b'"Flags": 0', b'"Flags": NaN'), "NaN is no value"),
        (GOOD.replace(b'"Flags": 0', b'"Flags": Infinity'), "Infinity is no value"),
        (GOOD.replace(b'"Flags": 0', b'"Flags": true'), '"Flags" is missing or of the wrong kind'),
        (said(Value="dmFsdWU"), "no base64"),
        (said(Value="dmFs dWU="), "no base64"),
        (said(Value="ü"), "no base64"),
        (said(Value=7), "no base64"),
        (said(Key=None), '"Key" is missing or of the wrong kind'),
        (said(ModifyIndex="7"), '"ModifyIndex" is missing or of the wrong kind'),
        (said(Session=7), '"Session" is missing or of the wrong kind'),
        (b"{}", "a list was expected"),
        (b"[7]", "missing"),
    ],
)
def test_an_answer_that_is_not_as_consul_writes_it_is_refused(
    consul: ModelConsul, body: bytes, reason: str
) -> None:
    consul.troubles.append(model.raw(body))
    with consul.client() as client, pytest.raises(ConsulReplyError, match=reason):
        client.kv_get("key")


def test_the_same_answer_without_a_fault_is_taken(consul: ModelConsul) -> None:
    consul.troubles.append(model.raw(GOOD))
    with consul.client() as client:
        found = client.kv_get("key")
    assert found.value is not None
    assert (found.value.key, found.value.value, found.index) == ("key", b"value", 7)


@pytest.mark.parametrize("index", ["-1", "1.5", "x", "9" * 30, "\u0667"])
def test_an_index_that_is_no_number_is_refused(consul: ModelConsul, index: str) -> None:
    header = index.encode().decode("latin-1")
    consul.troubles.append(model.raw(GOOD, headers={"x-consul-index": header}))
    with consul.client() as client, pytest.raises(ConsulReplyError, match="x-consul-index"):
        client.kv_get("key")


@pytest.mark.parametrize(
    ("trouble", "kind", "words"),
    [
        (model.status(500, "No cluster leader"), ConsulUnavailableError, "No cluster leader"),
        (model.status(429, "Your IP is limited"), ConsulUnavailableError, "429 Your IP"),
        (model.status(503, "overloaded"), ConsulUnavailableError, "503 overloaded"),
        (model.status(403, "Permission denied"), ConsulDeniedError, "Permission denied"),
        (model.status(403, "ACL not found"), ConsulDeniedError, "ACL not found"),
        (model.status(500, "rpc error: ACL not found"), ConsulDeniedError, "ACL not found"),
        (model.status(400, "Bad request"), ConsulError, "refuses that: 400 Bad request"),
        (model.status(500, "a\r\n\x1b[31mb" * 99), ConsulUnavailableError, "500 a \ufffd\\[31mba"),
        (model.reset, ConsulUnreachableError, "does not answer"),
        (model.cut_off(GOOD), ConsulUnreachableError, "does not answer"),
        (model.hang_up, ConsulUnreachableError, "without response"),
        (lambda c: c.sendall(b"SSH-2.0\r\n"), ConsulUnreachableError, "does not answer"),
    ],
)
def test_each_kind_of_trouble_is_told_apart_and_gone_with_the_next_answer(
    consul: ModelConsul, trouble: model.Trouble, kind: type[ConsulError], words: str
) -> None:
    consul.put("key", b"value")
    consul.troubles.append(trouble)
    with consul.client() as client:
        with pytest.raises(ConsulError, match=words) as found:
            client.kv_get("key")
        assert type(found.value) is kind
        again = client.kv_get("key").value
    assert again is not None
    assert again.value == b"value"


def test_nobody_there_is_told_with_what_to_do() -> None:
    nobody = ConsulSettings(address="http://127.0.46.9:1")
    with ConsulClient(nobody) as client, pytest.raises(ConsulUnreachableError) as found:
        client.kv_get("key")
    assert (
        found.value.message == "Consul at http://127.0.46.9:1 does not answer: connection refused"
    )
    assert "CONSUL_HTTP_ADDR" in str(found.value.hint)


def test_a_name_of_no_host_is_told() -> None:
    nobody = ConsulSettings(address="http://consul.invalid:8500")
    with (
        ConsulClient(nobody) as client,
        pytest.raises(ConsulUnreachableError, match="there is no such host"),
    ):
        client.kv_get("key")


@pytest.mark.parametrize("of_headers", [True, False], ids=["headers", "body"])
def test_an_answer_that_drips_is_cut_at_the_deadline(
    consul: ModelConsul, *, of_headers: bool
) -> None:
    consul.troubles.append(model.slow(GOOD, pause=0.2, of_headers=of_headers))  # 20 s and more
    with (
        consul.client(timeout=0.5) as client,
        pytest.raises(ConsulUnreachableError, match="no complete answer within 0.5 s"),
    ):
        client.kv_get("key")


def test_a_compressed_answer_is_refused_and_never_unpacked(consul: ModelConsul) -> None:
    bomb = gzip.compress(b" " * (64 * _MIB) + GOOD)
    consul.troubles.append(model.raw(bomb, headers={"content-encoding": "gzip"}))
    with consul.client() as client, pytest.raises(ConsulReplyError, match="compressed"):
        client.kv_get("key")
    assert consul.questions[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_nobody_is_sent_elsewhere(consul: ModelConsul, code: int) -> None:
    with ModelConsul("127.0.46.4") as other:
        headers = {"location": f"{other.address}/v1/kv/key"}
        consul.troubles.append(model.raw(b"", code=code, headers=headers))
        with consul.client(token="canary") as client, pytest.raises(ConsulError, match="redirects"):
            client.kv_get("key")
        assert other.questions == []


def test_an_answer_may_be_as_large_as_it_may_and_no_larger(consul: ModelConsul) -> None:
    consul.troubles += [model.raw(GOOD), model.raw(GOOD)]
    with consul.client(max_body=len(GOOD)) as client:
        assert client.kv_get("key").value is not None
    with consul.client(max_body=len(GOOD) - 1) as client:  # noqa: SIM117, what is tested stands alone
        with pytest.raises(ConsulReplyError, match=f"more than {len(GOOD) - 1} bytes"):
            client.kv_get("key")


_ENDLESS = """
import re, sys
from pathlib import Path
from meshc.consul.client import ConsulClient
from meshc.consul.errors import ConsulReplyError
from meshc.consul.settings import ConsulSettings


def most():
    # Not what getrusage says: that begins with the memory of who started this process.
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])


with ConsulClient(ConsulSettings(address=sys.argv[1]), max_body=4 << 20) as client:
    client.kv_get("key")
    before = most()
    for question in (client.kv_get, client.catalog_service, client.agent_deregister):
        try:
            question("key")
        except ConsulReplyError as error:
            assert "more than" in str(error), error
        else:
            raise SystemExit("taken")
    print(most() - before)
"""


@pytest.mark.parametrize("chunked", [True, False], ids=["chunks", "length"])
def test_a_gigabyte_costs_little_more_than_what_may_be_said(
    consul: ModelConsul, *, chunked: bool
) -> None:
    sent: list[int] = []
    consul.put("key", b"value")
    consul.troubles.append(model.raw(GOOD))
    consul.always = model.endless(1 << 30, sent, chunked=chunked)
    ended = subprocess.run(
        [sys.executable, "-c", _ENDLESS, consul.address],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert int(ended.stdout) < 20 * 1024, "KiB"
    assert len(sent) == 3
    assert max(sent) < 32 * _MIB


def test_what_consul_would_not_take_is_not_sent(consul: ModelConsul) -> None:
    large = KvOperation(verb="set", key="key", value=b"x" * (512 * 1024 + 1))
    small = KvOperation(verb="set", key="key", value=b"x")
    half = KvOperation(verb="set", key="key", value=b"x" * (200 * 1024))
    with consul.client() as client:
        with pytest.raises(ConsulError, match='"key" would hold 524289 bytes'):
            client.kv_put("key", large.value)
        with pytest.raises(ConsulError, match='"key" would hold 524289 bytes'):
            client.txn([large])
        with pytest.raises(ConsulError, match="65 operations was not sent"):
            client.txn([small] * 65)
        with pytest.raises(ConsulError, match="0 operations was not sent"):
            client.txn([])
        with pytest.raises(ConsulError, match=r"transaction of 54\d{4} bytes was not sent"):
            client.txn([half] * 2)
    assert consul.questions == []


@pytest.mark.parametrize("key", ["", "/key", "a//b", "a/../b", "./a", "a/..", "a\nb", "x" * 2000])
def test_a_key_that_would_mean_another_one_is_not_asked_for(consul: ModelConsul, key: str) -> None:
    with consul.client() as client:
        for question in (client.kv_get, client.kv_list, client.kv_keys, client.kv_delete):
            with pytest.raises(ConsulError, match="cannot be a key"):
                question(key)
    assert consul.questions == []


def test_an_odd_key_arrives_as_it_is(consul: ModelConsul) -> None:
    key = "meshc/v1/a b?c=d&e#f%2F+ü"
    with consul.client() as client:
        client.kv_put(key, b"value")
        found = client.kv_get(key).value
    assert found is not None
    assert (found.key, found.value) == (key, b"value")


@pytest.mark.parametrize(
    ("code", "body"),
    [
        (200, {"Results": None, "Errors": [{"OpIndex": 0, "What": "failed"}]}),
        (409, {"Results": [], "Errors": None}),
        (409, {"Results": None, "Errors": [{"OpIndex": "0", "What": "failed"}]}),
        (200, []),
    ],
)
def test_a_transaction_is_not_done_by_halves(consul: ModelConsul, code: int, body: Any) -> None:
    consul.troubles.append(model.raw(json.dumps(body).encode(), code=code))
    with consul.client() as client, pytest.raises(ConsulReplyError):
        client.txn([KvOperation(verb="get", key="key")])
