"""What judging with a real Envoy costs and leaves behind: processes, sockets, files, queries."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from meshc.diagnostics.errors import EnvoyError
from meshc.validate import envoy_binary, envoy_process
from meshc.validate.envoy_binary import Candidate, EnvoyGate
from meshc.validate.static_bootstrap import BOOTSTRAP, CLUSTER, LISTENER
from tests.validate.test_envoy_samples import (
    EXTENSIONS,
    bootstrap,
    checked,
    dns_cluster,
    envoy_or_skip,
    first_filter,
    http_listener,
    mixed,
    static_cluster,
    tcp_listener,
)

if TYPE_CHECKING:
    from meshc.validate.envoy_process import EnvoyRun

pytestmark = pytest.mark.envoy


@pytest.fixture(scope="session")
def envoy() -> Path:
    return envoy_or_skip()


def test_at_most_two_envoys_run_at_once(envoy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: list[EnvoyRun] = []
    most = 0

    def counting(*args: Any, **kwargs: Any) -> EnvoyRun:
        nonlocal most
        run = envoy_process.start_envoy(*args, **kwargs)
        alive.append(run)
        most = max(most, sum(not one.is_over() for one in alive))
        return run

    monkeypatch.setattr(envoy_binary, "start_envoy", counting)

    assert EnvoyGate(envoy, batch_size=10).judge(mixed(60)) == ()
    assert len(alive) == 6
    assert most <= 2


def test_health_checks_never_exhaust_the_descriptors(envoy: Path) -> None:
    program = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from meshc.validate.envoy_binary import Candidate, EnvoyGate
from meshc.validate.static_bootstrap import CLUSTER
from tests.validate.test_envoy_samples import checked, static_cluster
gate = EnvoyGate(Path(sys.argv[1]))
many = [Candidate(str(i), CLUSTER, checked(static_cluster(), 30)) for i in range(12)]
print(gate.judge([*many, Candidate("huge", CLUSTER, checked(static_cluster(), 2000))]))
print(gate.run_count)
"""
    command = [sys.executable, "-c", program, str(envoy), str(Path(__file__).parents[2])]

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    assert done.stdout.splitlines() == ["()", "7"], done.stderr


def test_nothing_is_left_behind_or_written_elsewhere(
    envoy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs, scratch, here = (tmp_path / name for name in ("logs", "scratch", "here"))
    for folder in (logs, scratch, here):
        folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    monkeypatch.chdir(here)
    listener = http_listener()
    first_filter(listener)["access_log"][0]["typed_config"]["path"] = str(logs / "a.log")
    relative = http_listener(1)
    first_filter(relative)["access_log"][0]["typed_config"]["path"] = "./b.log"
    pipe = tcp_listener(2)
    pipe["address"] = {"pipe": {"path": str(logs / "c.sock")}}
    bad = static_cluster() | {"lb_policy": "CLUSTER_PROVIDED"}
    candidates = [
        *(Candidate(f"{i}", LISTENER, m) for i, m in enumerate((listener, relative, pipe))),
        Candidate("bad", CLUSTER, bad),
    ]

    refusals = EnvoyGate(envoy).judge(candidates)

    assert [refusal.key for refusal in refusals] == ["bad"]
    assert [path for path in tmp_path.rglob("*") if path.is_file() or path.is_socket()] == []
    assert list(scratch.iterdir()) == []


def test_the_candidates_are_not_changed(envoy: Path) -> None:
    candidates = [*mixed(12), Candidate("dns", CLUSTER, dns_cluster())]
    before = copy.deepcopy(candidates)

    EnvoyGate(envoy).judge(candidates)

    assert candidates == before


def test_no_query_no_connection_and_no_file_watch(envoy: Path, tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed, system calls cannot be seen")
    trace = tmp_path / "trace"
    spy = tmp_path / "envoy"
    calls = "trace=%network,inotify_init,inotify_init1,inotify_add_watch"
    spy.write_text(f'#!/bin/sh\nexec {strace} -f -qq -A -o {trace} -e {calls} {envoy} "$@"\n')
    spy.chmod(0o755)
    custom = dns_cluster()
    del custom["type"]
    custom["cluster_type"] = {
        "name": "envoy.clusters.dns",
        "typed_config": {"@type": f"{EXTENSIONS}clusters.dns.v3.DnsCluster"},
    }
    eager = {
        "name": "proxy",
        "lb_policy": "CLUSTER_PROVIDED",
        "cluster_type": {
            "name": "envoy.clusters.dynamic_forward_proxy",
            "typed_config": {
                "@type": f"{EXTENSIONS}clusters.dynamic_forward_proxy.v3.ClusterConfig",
                "dns_cache_config": {
                    "name": "cache",
                    "preresolve_hostnames": [{"address": "app.example.test", "port_value": 80}],
                },
            },
        },
    }
    candidates = [
        *mixed(60),
        Candidate("eager", CLUSTER, eager),
        Candidate("strict", CLUSTER, dns_cluster()),
        Candidate("logical", CLUSTER, dns_cluster("LOGICAL_DNS")),
        Candidate("custom", CLUSTER, custom),
        Candidate("checked", CLUSTER, checked(static_cluster(), 20)),
        Candidate("bootstrap", BOOTSTRAP, bootstrap()),
    ]

    try:
        refusals = EnvoyGate(spy).judge(candidates)
    except EnvoyError as error:
        if trace.exists() and trace.stat().st_size:
            raise
        pytest.skip(f"strace may not trace here: {error}")

    assert refusals == ()
    lines = trace.read_text().splitlines()
    assert any("socket(AF_INET" in line for line in lines), "nothing was traced"
    # Envoy asks the kernel for its interfaces (netlink) and makes sockets it never uses.
    spoken = [
        line
        for line in lines
        if re.search(r"\b(connect|bind|listen|accept4?|send(to|m?msg)|inotify_\w+)\(", line)
        and "NETLINK" not in line
        and "nlmsg" not in line
    ]
    assert spoken == []
