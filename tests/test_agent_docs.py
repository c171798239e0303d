"""docs/agent.md says what the agent has: its settings, states, metrics, commands."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import click
import pytest

import meshc
from meshc.cli.agent import command as agent
from meshc.delivery.agent.metrics import Metrics
from meshc.delivery.agent.settings import PREFIX, AgentSettings
from meshc.delivery.agent.status import STATES

ROOT = Path(meshc.__file__).parent.parent
TEXT = (ROOT / "docs" / "agent.md").read_text(encoding="utf-8")


def table(heading: str, first: str) -> list[list[str]]:
    """The rows of the table whose first column has this heading, in a section."""
    section = TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in section.split(f"\n| {first} |")[1].split("\n\n")[0].splitlines()[2:]
    ]
    assert rows
    return rows


def flags() -> dict[str, str]:
    found: dict[str, str] = {}
    for parameter in agent.commands["run"].params:
        if isinstance(parameter, click.Option) and parameter.expose_value:
            found[str(parameter.name)] = parameter.opts[0]
    return found


def default(one: Any) -> str | None:
    """How the page writes a default; None where the page says it in words."""
    if one.default is MISSING or one.default == "":
        return None
    value = str(one.default).lower() if isinstance(one.default, bool) else str(one.default)
    return f"`{value}`"


def test_every_setting_is_documented_with_its_name_variable_flag_and_default() -> None:
    rows = table("Settings", "setting")

    assert [row[0] for row in rows] == [f"`{one.name}`" for one in fields(AgentSettings)]
    for row, one in zip(rows, fields(AgentSettings), strict=True):
        assert row[1] == f"`{PREFIX}{one.name.upper()}`"
        assert row[2] == (f"`{flags()[one.name]}`" if one.name in flags() else "")
        if (expected := default(one)) is not None:
            assert row[3] == expected


def test_every_state_is_documented_with_what_to_do() -> None:
    rows = table("States, and what to do", "state")

    assert [row[0].strip("`") for row in rows] == list(STATES)
    assert all(len(row) == 3 and row[1] and row[2] for row in rows)


def test_every_metric_is_documented_with_its_type() -> None:
    rows = table("Metrics and alerts", "metric")

    served = Metrics(node="n1").render(STATES)
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", served, flags=re.MULTILINE))
    assert {row[0].strip("`"): row[1] for row in rows} == types


def test_every_command_is_documented() -> None:
    rows = table("Commands", "command")

    assert {row[0].strip("`").split()[2] for row in rows} == set(agent.commands)


def test_the_guards_have_the_defaults_that_are_documented() -> None:
    rows = table("Guards", "what")

    assert [row[2] for row in rows if row[2]] == ["0.3", "10"]
    assert (AgentSettings.__dataclass_fields__["max_shrink"].default) == 0.3
    assert (AgentSettings.__dataclass_fields__["max_growth"].default) == 10


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", TEXT))
def test_every_link_of_the_page_leads_somewhere(link: str) -> None:
    assert (ROOT / "docs" / link).exists()


def test_every_link_within_the_page_leads_to_a_heading() -> None:
    headings = re.findall(r"^##+ (.*)$", TEXT, flags=re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}

    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors
