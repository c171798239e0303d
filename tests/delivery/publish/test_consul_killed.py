"""Publishers to a real Consul that are killed, between any two requests."""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.consul.gate import Gate
from tests.delivery.publish.bundles import MESH, NEW, NOW, OLD
from tests.delivery.publish.reader import check, files_of, nodes_of
from tests.delivery.publish.to_consul import (
    END_S,
    command,
    end_sessions,
    publish,
    values,
)

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from meshc.consul.client import ConsulClient
    from tests.consul.server import ConsulServer

pytestmark = [pytest.mark.consul, pytest.mark.usefixtures("empty_consul")]


class KilledError(BaseException):
    """Nothing catches it, and nothing is asked afterwards: the process is gone."""


@pytest.mark.parametrize("when", ["before", "after"])
def test_wherever_a_publisher_dies_hosts_read_old_or_new_and_the_next_run_ends_it(
    consul_dev: ConsulServer, client: ConsulClient, tmp_path: Path, when: str
) -> None:
    """``before``: the request never reached Consul; ``after``: its answer never came back."""
    OLD.write(tmp_path / "old")
    is_over = False
    for cut in range(1, 100):
        _start_over(client, tmp_path)
        with consul_dev.client() as own:
            _kill_at(own, cut, when)
            try:
                publish(own, NEW, tmp_path / "new", NOW + 1)
                is_over = True
            except KilledError:
                pass

        found = values(client)
        for node in nodes_of(found):
            whole = [mesh.files(node) for mesh in (OLD, NEW) if node in mesh.nodes]
            assert files_of(found, node) in whole, (cut, node)
        end_sessions(client)
        then = OLD if cut % 2 else NEW
        publish(client, then, tmp_path / "then", NOW + 2)
        check(values(client), then)
        if is_over:
            break
    assert is_over
    assert cut > 10


def _start_over(client: ConsulClient, tmp_path: Path) -> None:
    for key in client.kv_keys(f"meshc/v1/{MESH}/").value:
        client.kv_delete(key)
    publish(client, OLD, tmp_path / "old")


def _kill_at(client: ConsulClient, cut: int, when: str) -> None:
    """Let the client's ``cut``-th request be its last."""
    transport = client._transport
    ask = transport._ask
    count = 0

    def counted(*arguments: object) -> object:
        nonlocal count
        count += 1
        if count > cut or (count == cut and when == "before"):
            raise KilledError
        answer = ask(*arguments)  # type: ignore[arg-type]
        if count == cut:
            raise KilledError
        return answer

    transport._ask = counted  # type: ignore[assignment,method-assign]


@pytest.mark.parametrize("cut", [8, 10])
def test_a_command_that_is_killed_for_good_is_followed_by_one_that_ends_its_work(
    consul_dev: ConsulServer, client: ConsulClient, tmp_path: Path, cut: int
) -> None:
    publish(client, OLD, tmp_path / "old")
    NEW.write(tmp_path / "new")
    with Gate((consul_dev.host, consul_dev.ports["http"])) as gate:
        run: list[subprocess.Popen[str]] = []
        is_started = threading.Event()

        def kill(number: int) -> None:
            if number == cut:
                is_started.wait(END_S)
                run[0].send_signal(signal.SIGKILL)
                run[0].wait(END_S)

        gate.before = kill
        run.append(command(gate.place, tmp_path / "new"))
        is_started.set()
        run[0].communicate(timeout=END_S)
        assert run[0].returncode == -signal.SIGKILL
        assert len(gate.passed) == cut

    end_sessions(client)
    publish(client, NEW, tmp_path / "again", time.time_ns() // 1_000_000)

    check(values(client), NEW)
