"""The directory that Envoy watches is moved away or removed while both run."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.delivery.hosts.mesh import FRONT, NODE, Host
from tests.delivery.live import get, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _move(target: Path) -> None:
    target.rename(target.with_name("moved away"))


def _remove(target: Path) -> None:
    shutil.rmtree(target)


@pytest.mark.parametrize("lose", [_move, _remove], ids=["moved away", "removed"])
def test_a_target_that_has_gone_is_filled_anew_and_envoy_has_to_be_restarted(
    ready: Host, lose: Callable[[Path], None]
) -> None:
    ready.start_agent()
    ready.await_current()
    whole = ready.files()

    lose(ready.target)
    until(lambda: ready.files() == whole, "the same files in a new directory")
    failing = ready.await_state("failing")
    told = ready.meshc("status")
    still_served = get((FRONT, ready.mesh.calls["app"]))
    ready.end_envoy()
    ready.start_envoy()
    ready.mesh.app["app2"] = ready.mesh.apps["app2"]
    ready.mesh.build()
    ready.await_current()

    assert failing["summary"].startswith("THE TARGET WAS REPLACED while Envoy ran")
    assert told.code == 1
    assert "do: restart Envoy" in told.out
    assert still_served == "app1"
    assert {get((FRONT, ready.mesh.calls["app"])) for _ in range(8)} == {"app1", "app2"}
    assert ready.status()["node"] == NODE
