"""An agent is killed while two listeners swap their addresses, by a rename that Envoy overlooks."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from meshc.delivery.agent.ledger import load_ledger
from meshc.delivery.agent.run import Agent
from meshc.delivery.agent.settings import AgentSettings
from meshc.delivery.agent.swap import read_files
from meshc.delivery.agent.verdict import Verdict
from meshc.delivery.log import Log
from tests.delivery.agent.resident import publish
from tests.delivery.live import get
from tests.delivery.mutants.stage import Stage, cluster, on_stage, to

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.envoy

_NUMBER = 9
_KILLED = f"""
import json, os, sys
from pathlib import Path
from meshc.delivery.agent import deliver
from meshc.delivery.agent.run import Agent
from meshc.delivery.agent.settings import AgentSettings
from meshc.delivery.agent.swap import put_file
from meshc.delivery.log import Log

left = int(sys.argv[2])

def put(directory, path, data):
    global left
    left -= path == "lds.json"
    if not left:
        (directory / path).write_bytes(data)  # such a write is no event, so Envoy overlooks it
        os._exit({_NUMBER})
    put_file(directory, path, data)

deliver.put_file = put
given = json.loads(sys.argv[1])
for name in ("target", "state"):
    given[name] = Path(given[name])
with Agent(AgentSettings(**given), Log(), is_resident=False) as agent:
    agent.once()
"""


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """An Envoy with a listener to a on one address and a listener to b on another."""
    with on_stage(tmp_path) as stage:
        listeners = [to("to-a", stage.one, "a"), to("to-b", stage.two, "b")]
        stage.deliver(stage.files("2", listeners, cluster("a"), cluster("b")))
        yield stage


@pytest.mark.parametrize(
    ("put", "lying"),
    [
        pytest.param(1, [], id="the one without the listeners that swap"),
        pytest.param(2, ["to-a", "to-b"], id="the one with both again"),
    ],
)
def test_the_next_start_ends_the_swap(
    stage: Stage, tmp_path: Path, put: int, lying: list[str]
) -> None:
    listeners = [to("to-a", stage.two, "a"), to("to-b", stage.one, "b")]
    swapped = stage.files("3", listeners, cluster("a"), cluster("b"))
    publish(tmp_path / "out", swapped)
    given: dict[str, Any] = {
        "node": "n1",
        "source": str(tmp_path / "out"),
        "target": stage.directory,
        "state": tmp_path / "state",
        "envoy": "none",
        "metrics": "none",
    }
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, json.dumps(given, default=str), str(put)],
        capture_output=True,
        check=False,
    )
    left = json.loads(read_files(stage.directory)["lds.json"])
    said = stage.admin.versions()["listener_manager.lds.version_text"]

    with Agent(AgentSettings(**given), Log(io.StringIO()), is_resident=False) as agent:
        verdict = agent.once()

    assert killed.returncode == _NUMBER, killed.stderr.decode()
    assert [one["name"] for one in left["resources"]] == lying
    assert said != left["version_info"]
    assert verdict is Verdict.DONE
    ledger, _ = load_ledger(tmp_path / "state")
    assert ledger.quarantine == {}
    assert read_files(stage.directory) == swapped
    assert (get(stage.one), get(stage.two)) == ("y", "x")
