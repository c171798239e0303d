"""The metrics of servers, by Prometheus' own tool."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from meshc.delivery.xds.process.metrics import metrics
from tests.observability.prometheus import program_or_skip

_COUNTS = (
    *(
        "open_streams",
        "nodes",
        "connections",
        "turned_away",
        "denied",
        "handshake_failures",
        "switches",
        "switch_s",
    ),
    *("source_errors", "stalls", "loaded"),
)
_SERVER: dict[str, Any] = dict.fromkeys(_COUNTS, 3) | {
    "problem": "no source",
    "certificate_problem": "",
    "memory_problem": "",
    "generation": "ab" * 32,
    "responses": {"CDS": 4, "EDS": 5},
    "refusals": {"CDS": 1},
    "refused": [{"type": "CDS", "resource": "", "place": 'a\\b"c.yaml:2:1', "clients": 1}],
    "subscriptions": {"CDS": {"acknowledged": 2, "refused": 1}},
}


@pytest.mark.prometheus
@pytest.mark.parametrize(
    "said",
    [
        {"": _SERVER},
        {
            "1": _SERVER | {"is_up": True, "restarts": 0},
            "2": {"is_up": False, "restarts": 2},
        },
    ],
    ids=["one", "workers"],
)
def test_prometheus_has_nothing_to_say_against_them(said: dict[str, dict[str, Any]]) -> None:
    done = subprocess.run(
        [program_or_skip("promtool"), "check", "metrics"],
        input="\n".join([*metrics(said), ""]),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout + done.stderr) == (0, "")
