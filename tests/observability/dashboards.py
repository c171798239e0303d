"""The dashboards of `deploy/grafana`, and what they ask of Prometheus."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

GRAFANA = Path(__file__).parents[2] / "deploy" / "grafana"
FILES = sorted(GRAFANA.glob("*.json"))


@dataclass(frozen=True, slots=True)
class Query:
    """One expression of a panel, with every variable at "All"."""

    panel: str
    name: str
    expression: str


def load(path: Path) -> dict[str, Any]:
    dashboard: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return dashboard


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """All panels that show something."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries(dashboard: dict[str, Any]) -> Iterator[Query]:
    for panel in panels(dashboard):
        for target in panel["targets"]:
            yield Query(panel["title"], target["refId"], with_everything(dashboard, target["expr"]))


def with_everything(dashboard: dict[str, Any], text: str) -> str:
    """Put in for each variable what Grafana does when "All" is chosen."""
    values = {one["name"]: one.get("allValue") for one in variables(dashboard)}
    values |= {"__rate_interval": "1m", "__interval": "15s"}

    def value(found: re.Match[str]) -> str:
        chosen = values[found[1] or found[2]]
        assert chosen is not None, f"{found[0]} has no value for all"
        return str(chosen)

    return re.sub(r"\$(?:(\w+)|\{(\w+)\})", value, text)


def variables(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = dashboard["templating"]["list"]
    return found
