"""Access logs are rotated under a running Envoy."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from meshc.spec.schema import MeshSpec
from tests.delivery.live import until
from tests.deploy.host import UNITS
from tests.requests.asking import get
from tests.requests.running import Places, Running

if TYPE_CHECKING:
    from pathlib import Path

_RULES = UNITS / "logrotate.d" / "meshc"
_TELL = re.compile(r"systemctl kill --kill-who=main --signal=(\w+) meshc-envoy\.service")


def test_the_rules_are_about_the_folder_of_a_mesh() -> None:
    assert f"\n{MeshSpec(name='any').access_log.directory}/*.log {{\n" in _RULES.read_text()


@pytest.mark.envoy
def test_envoy_goes_on_in_a_new_file_and_none_of_its_lines_is_lost(tmp_path: Path) -> None:
    if shutil.which("logrotate") is None:
        pytest.skip("no logrotate; install it with: apt install logrotate")
    places = Places("127.0.55", hosts=1)
    logs = tmp_path / "logs"
    logs.mkdir()
    specs = places.specs()
    with Running(tmp_path, specs, access_logs=logs) as mesh:
        mesh.start_application("http", places.applications[0], "app1")
        process = mesh.envoys["c1"].process
        rules = _RULES.read_text().replace("/var/log/envoy", str(logs))
        rules = rules.replace("su envoy envoy", "su root root")
        rules, told = _TELL.subn(rf"kill -s \1 {process.pid}", rules)
        place = tmp_path / "rules"
        place.write_text(rules)
        log = logs / "outbound-svc.log"

        assert get(places.egress, "/before").status == 200
        until(lambda: "/before" in log.read_text(), "the first line")
        command = ["logrotate", "--force", "--state", str(tmp_path / "state"), str(place)]
        subprocess.run(command, check=True, timeout=30)
        until(log.exists, "a new file")
        assert get(places.egress, "/after").status == 200
        until(lambda: "/after" in log.read_text(), "a line in the new file")

    assert told == 1
    assert "/before" not in log.read_text()
    assert "/before" in log.with_name(f"{log.name}.1").read_text()
