"""Publishing to a real Consul: limits, calls, snapshots, tokens."""

from __future__ import annotations

import os
import secrets
import subprocess
from typing import TYPE_CHECKING

import pytest

from meshc.consul.errors import ConsulDeniedError
from tests.consul.gate import Gate
from tests.delivery.publish.bundles import MESH, NEW, NOW, OLD, Mesh
from tests.delivery.publish.reader import check, files_of, nodes_of
from tests.delivery.publish.to_consul import (
    END_S,
    PROGRAM,
    consul_at,
    end_sessions,
    publish,
    values,
)

if TYPE_CHECKING:
    from pathlib import Path

    from meshc.consul.client import ConsulClient
    from tests.consul.server import ConsulServer

pytestmark = [pytest.mark.consul, pytest.mark.usefixtures("empty_consul")]


def test_every_node_reads_what_was_built(client: ConsulClient, tmp_path: Path) -> None:
    publish(client, OLD, tmp_path)
    check(values(client), OLD)

    publish(client, NEW, tmp_path, NOW + 1)
    check(values(client), NEW)


def test_the_lock_is_free_afterwards(client: ConsulClient, tmp_path: Path) -> None:
    publish(client, OLD, tmp_path)

    lock = client.kv_get(f"meshc/v1/{MESH}/lock").value
    assert lock is not None
    assert lock.session == ""


def test_a_neighbour_whose_name_begins_alike_is_not_touched(
    client: ConsulClient, tmp_path: Path
) -> None:
    """`shop` is a prefix of `shop2`, and `a` of `a1`."""
    client.kv_put("meshc/v1/shop2/nodes/a", b"of another mesh")
    publish(client, Mesh({"a": "1", "a1": "1"}), tmp_path)

    publish(client, Mesh({"a1": "1"}), tmp_path, NOW + 1)

    check(values(client), Mesh({"a1": "1"}))
    entry = client.kv_get("meshc/v1/shop2/nodes/a").value
    assert entry is not None
    assert entry.value == b"of another mesh"
    client.kv_delete("meshc/v1/shop2/nodes/a")


def test_what_is_larger_than_a_value_or_a_transaction_is_published_in_pieces(
    client: ConsulClient, tmp_path: Path
) -> None:
    """Numbers that nothing can compress well: 300 KiB, 700 KiB and 1.5 MiB of them in hex."""
    sizes = (300, 700, 1500)
    mesh = Mesh({"a": "1"}, {f"s{kib}": secrets.token_hex(kib * 512) for kib in sizes})

    publish(client, mesh, tmp_path)

    check(values(client), mesh)
    assert max(map(len, values(client).values())) <= 512 * 1024


def test_calls_and_bytes_grow_with_the_change_and_not_with_the_mesh(
    consul_dev: ConsulServer, tmp_path: Path
) -> None:
    """100 nodes, 10 services of 10 hosts: one of them changes, then one of twice as many."""

    def mesh(count: int, app: str) -> Mesh:
        services = {f"s{number}": "1" for number in range(count // 10)} | {"s0": app}
        nodes = {f"n{number}": "1" for number in range(count)}
        calls = {f"n{number}": (f"s{number // 10}",) for number in range(count)}
        return Mesh(nodes, services, calls)

    found = []
    for count in (100, 200):
        with Gate((consul_dev.host, consul_dev.ports["http"])) as gate:
            near = consul_at(consul_dev, gate)
            publish(near, mesh(count, "1"), tmp_path / str(count), NOW + count, again=True)
            full = len(gate.passed)
            gate.passed.clear()
            done = publish(near, mesh(count, "2"), tmp_path / str(count), NOW + 1000 + count)
            assert len(done.written) == 10
            found.append((full, len(gate.passed), sum(one.sent for one in gate.passed)))
            gate.passed.clear()
            publish(near, mesh(count, "2"), tmp_path / str(count), NOW + 2000 + count)
            assert [one.method for one in gate.passed] == ["GET", "GET"]
            near.close()
    (full, calls, sent), (_, calls_of_200, sent_of_200) = found
    assert calls == 14
    assert calls_of_200 == calls
    assert full < 100
    assert sent_of_200 < sent * 1.5


def test_without_the_right_to_write_nothing_is_written_and_it_is_said(
    consul_dev: ConsulServer, client: ConsulClient, tmp_path: Path
) -> None:
    publish(client, OLD, tmp_path / "old")
    with Gate((consul_dev.host, consul_dev.ports["http"])) as gate:

        def withdraw(number: int) -> None:
            if number == 7:
                gate.mode = "403"

        gate.before = withdraw
        with (
            consul_at(consul_dev, gate) as near,
            pytest.raises(ConsulDeniedError, match="Permission denied"),
        ):
            publish(near, NEW, tmp_path / "new", NOW + 1)

    end_sessions(client)
    found = values(client)
    for node in nodes_of(found):
        assert files_of(found, node) in [m.files(node) for m in (OLD, NEW) if node in m.nodes]


def test_no_token_is_ever_seen_in_what_the_command_says(
    consul_dev: ConsulServer, tmp_path: Path
) -> None:
    OLD.write(tmp_path)
    with Gate((consul_dev.host, consul_dev.ports["http"]), mode="403") as gate:
        token = "5e7c0de5-canary-4bad-8f00d"
        run = subprocess.run(
            [str(PROGRAM), "publish", "consul", "--out", str(tmp_path), "-vv"],
            capture_output=True,
            text=True,
            env={**os.environ, "CONSUL_HTTP_ADDR": gate.place, "CONSUL_HTTP_TOKEN": token},
            timeout=END_S,
            check=False,
        )

    assert run.returncode == 3
    assert "canary" not in run.stdout + run.stderr
