"""The alerts of `deploy/prometheus`, by Prometheus' own tool."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from meshc.delivery.agent.metrics import Metrics
from meshc.delivery.agent.status import STATES
from meshc.delivery.xds.process.metrics import heads
from meshc.delivery.xds.process.status import STATES as SERVE_STATES
from tests.observability.prometheus import DEPLOY, configuration, program_or_skip

CASES = sorted(Path(__file__).parent.glob("alerts_*test.yml"))
RULES = [
    rule
    for group in yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]


def promtool(*arguments: str | Path) -> str:
    """Run the tool; it must find nothing wrong."""
    done = subprocess.run(
        [program_or_skip("promtool"), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.prometheus
def test_prometheus_accepts_its_configuration(tmp_path: Path) -> None:
    place = configuration(tmp_path / "prometheus", "consul.example:8500", "token")

    assert "is valid prometheus config" in promtool("check", "config", place)


@pytest.mark.prometheus
def test_alerts_fire_when_they_should_and_not_before(tmp_path: Path) -> None:
    for file in (DEPLOY / "alerts.yml", *CASES):
        shutil.copy(file, tmp_path)

    said = promtool("test", "rules", *(tmp_path / file.name for file in CASES))

    assert said.count("SUCCESS") == len(CASES) == 2


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    cases = [case for file in CASES for case in yaml.safe_load(file.read_text())["tests"]]

    firing = {
        check["alertname"]
        for case in cases
        for check in case["alert_rule_test"]
        if check["exp_alerts"]
    }

    assert firing == {rule["alert"] for rule in RULES}


def test_alerts_are_about_metrics_and_states_that_there_are() -> None:
    served = Metrics(node="n1").render(STATES)
    names = set(re.findall(r"^# TYPE (\S+)", served, flags=re.MULTILINE))
    names |= {f"meshc_serve_{name}" for name, _, _ in heads()}

    for rule in RULES:
        assert set(re.findall(r"meshc_(?:agent|serve)_\w+", rule["expr"])) <= names
        known = SERVE_STATES if "meshc_serve_" in rule["expr"] else STATES
        for states in re.findall(r'state=~?"([^"]+)"', rule["expr"]):
            assert set(states.split("|")) <= set(known)


def test_every_alert_says_how_bad_it_is_and_what_is_the_matter() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert rule["annotations"]["summary"]
