"""docs/observability.md says what is deployed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.docker.program import FILE
from tests.observability.dashboards import FILES, load

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")


def first_column(heading: str) -> list[str]:
    section = TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return [line.split("|")[1].strip() for line in section.splitlines() if line.startswith("|")][2:]


def test_every_alert_is_in_the_table() -> None:
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())

    names = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}

    assert set(re.findall(r"`(\w+)`", " ".join(first_column("Alerts")))) == names


def test_every_label_that_prometheus_makes_is_in_the_table() -> None:
    deployed = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    [job] = [one for one in deployed["scrape_configs"] if one["job_name"] == "envoy"]
    steps = [*job["relabel_configs"], *job["metric_relabel_configs"]]

    made = {step["target_label"] for step in steps if "target_label" in step}

    assert {cell.strip("`") for cell in first_column("Metrics of Envoys")} == made


def test_every_dashboard_is_in_the_table() -> None:
    assert first_column("Dashboards") == [load(path)["title"] for path in FILES]


def test_the_addresses_of_the_sample_are_those_that_are_published() -> None:
    services = yaml.safe_load(FILE.read_text())["services"]

    published = {
        port.rpartition(":")[0] for one in services.values() for port in one.get("ports", [])
    }

    assert set(re.findall(r"\| http://(127\.0\.0\.1:\d+) \|", TEXT)) == published


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", TEXT))
def test_every_link_leads_somewhere(link: str) -> None:
    assert (ROOT / "docs" / link).exists()
